"""Points drawn by OpenGL: a shader program, its buffers, and pictures to draw into.

Calls go through :mod:`vispy.gloo.gl`, which napari brings along, and need the context current.
vispy's own canvas is not used: it loses its buffers when a dock widget is undocked, since Qt then
makes a new context, and its program objects take no 8-bit colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from vispy.gloo import gl

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINT_SPRITE, PROGRAM_POINT_SIZE = 0x8861, 0x8642
"""What desktop OpenGL must be asked for and OpenGL ES does anyway."""


def _embedded() -> bool:
    """Whether this is OpenGL ES."""
    return ".es" in gl.current_backend.__name__


_POINT_VERTEX = """
attribute vec2 a_xy;
attribute vec4 a_rgba;
uniform vec2 u_centre, u_scale;
uniform vec3 u_background;
uniform vec4 u_flat;
uniform float u_size, u_keep;
varying vec4 v_rgba;
void main() {
    vec3 rgb = mix(a_rgba.rgb, u_flat.rgb, u_flat.a);
    v_rgba = vec4(mix(u_background, rgb, u_keep), mix(a_rgba.a, 1.0, u_flat.a));
    gl_Position = vec4((a_xy - u_centre) * u_scale, 0.0, 1.0);
    gl_PointSize = u_size + 1.0;
}
"""

_POINT_FRAGMENT = """
uniform float u_size;
varying vec4 v_rgba;
void main() {
    float edge = (u_size + 1.0) * (0.5 - length(gl_PointCoord - vec2(0.5)));
    if (edge <= 0.0) discard;
    gl_FragColor = vec4(v_rgba.rgb, v_rgba.a * min(edge, 1.0));
}
"""

_IMAGE_VERTEX = """
attribute vec2 a_corner;
varying vec2 v_at;
void main() {
    v_at = 0.5 * a_corner + 0.5;
    gl_Position = vec4(a_corner, 0.0, 1.0);
}
"""

_IMAGE_FRAGMENT = """
uniform sampler2D u_image;
uniform vec3 u_background;
uniform float u_keep;
varying vec2 v_at;
void main() { gl_FragColor = vec4(mix(u_background, texture2D(u_image, v_at).rgb, u_keep), 1.0); }
"""


class Buffer:
    """Numbers on the graphics card."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.handle = gl.glCreateBuffer()
        self.size = 0

    def upload(self, data: NDArray[Any], often: bool = False) -> None:
        """Replace the contents; ``size`` is then the number of rows."""
        self.size = len(data)
        self.bind()
        usage = gl.GL_DYNAMIC_DRAW if often else gl.GL_STATIC_DRAW
        if data.size:
            gl.glBufferData(self.target, np.ascontiguousarray(data), usage)

    def bind(self) -> None:
        """Make this the buffer that the next calls mean."""
        gl.glBindBuffer(self.target, self.handle)


class Program:
    """Two shaders, linked."""

    def __init__(self, vertex: str, fragment: str, attributes: tuple[str, ...]) -> None:
        self.handle = gl.glCreateProgram()
        header = "precision highp float;\n" if _embedded() else "#version 120\n"
        for kind, source in ((gl.GL_VERTEX_SHADER, vertex), (gl.GL_FRAGMENT_SHADER, fragment)):
            shader = gl.glCreateShader(kind)
            gl.glShaderSource(shader, header + source)
            gl.glCompileShader(shader)
            if not gl.glGetShaderParameter(shader, gl.GL_COMPILE_STATUS):
                raise RuntimeError(f"shader: {gl.glGetShaderInfoLog(shader)}")
            gl.glAttachShader(self.handle, shader)
            gl.glDeleteShader(shader)
        for place, name in enumerate(attributes):
            gl.glBindAttribLocation(self.handle, place, name)
        gl.glLinkProgram(self.handle)
        if not gl.glGetProgramParameter(self.handle, gl.GL_LINK_STATUS):
            raise RuntimeError(f"shaders: {gl.glGetProgramInfoLog(self.handle)}")
        self._places: dict[str, int] = {}

    def use(self, **uniforms: float | tuple[float, ...]) -> None:
        """Make this the program of the next calls, with these values."""
        gl.glUseProgram(self.handle)
        for name, value in uniforms.items():
            if name not in self._places:
                self._places[name] = gl.glGetUniformLocation(self.handle, name)
            values = value if isinstance(value, tuple) else (value,)
            getattr(gl, f"glUniform{len(values)}f")(self._places[name], *values)


class Target:
    """A picture to draw into.

    Parameters
    ----------
    width, height
        In physical pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.texture = gl.glCreateTexture()
        gl.glBindTexture(gl.GL_TEXTURE_2D, self.texture)
        for name in (gl.GL_TEXTURE_MIN_FILTER, gl.GL_TEXTURE_MAG_FILTER):
            gl.glTexParameteri(gl.GL_TEXTURE_2D, name, gl.GL_NEAREST)
        for name in (gl.GL_TEXTURE_WRAP_S, gl.GL_TEXTURE_WRAP_T):
            gl.glTexParameteri(gl.GL_TEXTURE_2D, name, gl.GL_CLAMP_TO_EDGE)
        gl.glTexImage2D(
            gl.GL_TEXTURE_2D, 0, gl.GL_RGBA, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, (height, width)
        )
        self.handle = gl.glCreateFramebuffer()
        self.bind()
        gl.glFramebufferTexture2D(
            gl.GL_FRAMEBUFFER, gl.GL_COLOR_ATTACHMENT0, gl.GL_TEXTURE_2D, self.texture, 0
        )

    def bind(self) -> None:
        """Draw into this picture from here on."""
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self.handle)
        gl.glViewport(0, 0, self.width, self.height)

    def read(self) -> NDArray[np.uint8]:
        """Return the picture, (height, width, 4), the top row first."""
        self.bind()
        raw = gl.glReadPixels(0, 0, self.width, self.height, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE)
        image = np.frombuffer(raw, np.uint8).reshape(self.height, self.width, 4)
        return image[::-1].copy()

    def delete(self) -> None:
        """Free the memory."""
        gl.glDeleteFramebuffer(self.handle)
        gl.glDeleteTexture(self.texture)


class Painter:
    """What a context needs to draw points; made anew for every context."""

    def __init__(self) -> None:
        if not _embedded():
            gl.glEnable(PROGRAM_POINT_SIZE)
            gl.glEnable(POINT_SPRITE)
        self.points = Program(_POINT_VERTEX, _POINT_FRAGMENT, ("a_xy", "a_rgba"))
        self.image = Program(_IMAGE_VERTEX, _IMAGE_FRAGMENT, ("a_corner",))
        self.xy = Buffer(gl.GL_ARRAY_BUFFER)
        self.rgba = Buffer(gl.GL_ARRAY_BUFFER)
        self.corners = Buffer(gl.GL_ARRAY_BUFFER)
        self.corners.upload(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], dtype=np.float32))
        self.order = Buffer(gl.GL_ELEMENT_ARRAY_BUFFER)
        self.selected = Buffer(gl.GL_ELEMENT_ARRAY_BUFFER)
        self.highlighted = Buffer(gl.GL_ELEMENT_ARRAY_BUFFER)
        self.base: Target | None = None
        self.front: Target | None = None

    def draw_points(
        self, rows: Buffer, start: int, count: int, **uniforms: float | tuple[float, ...]
    ) -> None:
        """Draw the points that an index buffer names, from its entry ``start`` on."""
        if not count:
            return
        gl.glEnable(gl.GL_BLEND)
        # The picture stays opaque whatever lies on it: its alpha only ever adds up to one.
        gl.glBlendFuncSeparate(
            gl.GL_SRC_ALPHA, gl.GL_ONE_MINUS_SRC_ALPHA, gl.GL_ONE, gl.GL_ONE_MINUS_SRC_ALPHA
        )
        self.points.use(**uniforms)
        self.xy.bind()
        gl.glEnableVertexAttribArray(0)
        gl.glVertexAttribPointer(0, 2, gl.GL_FLOAT, False, 8, 0)
        self.rgba.bind()
        gl.glEnableVertexAttribArray(1)
        gl.glVertexAttribPointer(1, 4, gl.GL_UNSIGNED_BYTE, True, 4, 0)
        rows.bind()
        gl.glDrawElements(gl.GL_POINTS, count, gl.GL_UNSIGNED_INT, 4 * start)
        gl.glDisableVertexAttribArray(1)
        gl.glDisableVertexAttribArray(0)

    def resize(self, width: int, height: int) -> bool:
        """Make the two pictures of a size, if they are not; whether they are new."""
        if self.base is not None and (self.base.width, self.base.height) == (width, height):
            return False
        for old in (self.base, self.front):
            if old is not None:
                old.delete()
        self.base, self.front = Target(width, height), Target(width, height)
        return True

    def draw_image(
        self,
        target: Target,
        keep: float = 1.0,
        background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        """Fill the viewport with a picture, faded into the background."""
        gl.glDisable(gl.GL_BLEND)
        self.image.use(u_keep=keep, u_background=background)
        gl.glActiveTexture(gl.GL_TEXTURE0)
        gl.glBindTexture(gl.GL_TEXTURE_2D, target.texture)
        self.corners.bind()
        gl.glEnableVertexAttribArray(0)
        gl.glVertexAttribPointer(0, 2, gl.GL_FLOAT, False, 8, 0)
        gl.glDrawArrays(gl.GL_TRIANGLE_STRIP, 0, 4)
        gl.glDisableVertexAttribArray(0)

    def delete(self) -> None:
        """Free all memory on the graphics card."""
        for buffer in (
            self.xy,
            self.rgba,
            self.corners,
            self.order,
            self.selected,
            self.highlighted,
        ):
            gl.glDeleteBuffer(buffer.handle)
        for program in (self.points, self.image):
            gl.glDeleteProgram(program.handle)
        for target in (self.base, self.front):
            if target is not None:
                target.delete()
