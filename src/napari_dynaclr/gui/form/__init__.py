"""A form of a method's settings, made from its Params."""
