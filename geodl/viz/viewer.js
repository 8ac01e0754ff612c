"use strict";
// The viewer: shapes side by side, turned together, and what lies under the mouse on each of them.
(async () => {
  const $ = (id) => document.getElementById(id);
  const canvas = $("canvas"), gl = canvas.getContext("webgl2", {antialias: true, preserveDrawingBuffer: true});
  if (!gl) return fail("This browser has no WebGL 2, which the viewer needs.");
  if (typeof DecompressionStream === "undefined") return fail("This browser is too old: it has no DecompressionStream.");
  const scene = JSON.parse($("scene").textContent);
  const bytes = await inflated($("data").textContent.trim());

  function fail(why) {
    $("info").textContent = why;
  }

  async function inflated(text) {
    const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // Integers are stored as differences of rows, and those plane by plane of bytes, which deflate well.
  function integers({start, rows, width, size}) {
    const count = rows * width, out = new {1: Uint8Array, 2: Uint16Array, 4: Uint32Array}[size](count);
    for (let k = 0; k < size; k++)
      for (let i = 0; i < count; i++) out[i] |= bytes[start + k * count + i] << (8 * k);
    for (let i = width; i < count; i++) out[i] += out[i - width];
    return out;
  }

  function floats(stored) {
    const whole = integers(stored), out = new Float32Array(whole.length), {low, step, width} = stored;
    for (let i = 0; i < out.length; i++) out[i] = low[i % width] + step[i % width] * whole[i];
    return out;
  }

  // ---- shapes

  const bodies = scene.shapes.map((given) => {
    const body = {...given, all: floats(given.pos), face: given.face && integers(given.face)};
    body.count = body.all.length / (3 * given.frames);
    for (const layer of ["color", "label", "scalar"]) body[layer] = given[layer] && integers(given[layer]);
    body.lines = given.lines && floats(given.lines);
    return body;
  });
  // To whom a vertex of the second shape is matched; the number of vertices of the first stands for nobody.
  const map = scene.map && integers(scene.map);

  function hex(text) {
    return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  }
  const GREY = hex("#c4c6ca"), BODY = hex("#ccced3");
  const ramp = scene.ramp.map(hex), names = scene.legend && scene.legend.map(([, color]) => hex(color));

  function onRamp(share) {
    const along = share * (ramp.length - 1), i = Math.min(Math.floor(along), ramp.length - 2);
    return ramp[i].map((value, c) => value + (along - i) * (ramp[i + 1][c] - value));
  }

  // A layer of fewer frames than the slider has stays at its last one.
  function at(layer, width, body, frame) {
    const length = width * body.count, start = Math.min(frame, layer.length / length - 1) * length;
    return layer.subarray(start, start + length);
  }

  function colors(body, frame) {
    const out = new Uint8Array(3 * body.count);
    if (body.color) out.set(at(body.color, 3, body, frame));
    else if (body.scalar)
      at(body.scalar, 1, body, frame).forEach((value, v) => out.set(onRamp(value / 65535), 3 * v));
    else if (body.label) at(body.label, 1, body, frame).forEach((label, v) => out.set(names[label], 3 * v));
    else if (body.carried) {
      const first = bodies[0].shown;
      for (let v = 0; v < body.count; v++)
        out.set(map[v] < bodies[0].count ? first.subarray(3 * map[v], 3 * map[v] + 3) : GREY, 3 * v);
    } else for (let v = 0; v < body.count; v++) out.set(BODY, 3 * v);
    return out;
  }

  function normals(pos, face) {
    const out = new Float32Array(pos.length);
    for (let f = 0; f < face.length; f += 3) {
      const [a, b, c] = [3 * face[f], 3 * face[f + 1], 3 * face[f + 2]];
      const ux = pos[b] - pos[a], uy = pos[b + 1] - pos[a + 1], uz = pos[b + 2] - pos[a + 2];
      const vx = pos[c] - pos[a], vy = pos[c + 1] - pos[a + 1], vz = pos[c + 2] - pos[a + 2];
      const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
      for (const i of [a, b, c]) out[i] += nx, out[i + 1] += ny, out[i + 2] += nz;
    }
    return out;
  }

  // ---- drawing

  const vertexShader = `#version 300 es
    layout(location = 0) in vec3 pos; layout(location = 1) in vec3 normal;
    layout(location = 2) in vec3 color; layout(location = 3) in vec2 uv;
    uniform mat3 turn; uniform vec3 centre; uniform vec4 view; uniform float depth, size;
    out vec3 n, mixed; flat out vec3 whole; out vec2 at;
    void main() {
      vec3 p = turn * (pos - centre);
      gl_Position = vec4(p.xy * view.xy + view.zw, -p.z * depth, 1);
      gl_PointSize = size; n = turn * normal; mixed = whole = color; at = uv;
    }`;
  // Kinds of drawing: 0 surface, 1 points as little balls, 2 plain (lines), 3 marks, 4 marks behind the surface.
  const fragmentShader = `#version 300 es
    precision highp float;
    in vec3 n, mixed; flat in vec3 whole; in vec2 at; out vec4 result;
    uniform int kind; uniform bool parted, textured; uniform sampler2D image;
    void main() {
      vec3 c = textured ? texture(image, at).rgb : parted ? whole : mixed, m = n;
      if (kind == 1 || kind > 2) {
        vec2 d = 2. * gl_PointCoord - 1.;
        float r = dot(d, d);
        if (r > 1.) discard;
        if (kind > 2) {
          if (kind == 4 && r < .45) discard;
          result = vec4(r > .55 ? vec3(1) : vec3(.9, .05, .1), 1);
          if (kind == 4) result = vec4(.9, .05, .1, 1);
          return;
        }
        m = vec3(d.x, -d.y, sqrt(1. - r));
      }
      if (kind == 2) { result = vec4(c, 1); return; }
      m = normalize(m); if (m.z < 0.) m = -m;
      float light = .38 + .62 * max(0., dot(m, normalize(vec3(-.3, .45, 1))));
      result = vec4(c * light + .06 * pow(m.z, 24.), 1);
    }`;
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertexShader], [gl.FRAGMENT_SHADER, fragmentShader]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) return fail(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  const uniform = (name) => gl.getUniformLocation(program, name);
  const uniforms = Object.fromEntries(
    ["turn", "centre", "view", "depth", "size", "kind", "parted", "textured"].map((name) => [name, uniform(name)]));

  function upload(array, target = gl.ARRAY_BUFFER) {
    const buffer = gl.createBuffer();
    gl.bindBuffer(target, buffer);
    gl.bufferData(target, array, gl.STATIC_DRAW);
    return buffer;
  }

  function attribute(location, array, width, type = gl.FLOAT) {
    upload(array);
    gl.enableVertexAttribArray(location);
    gl.vertexAttribPointer(location, width, type, type !== gl.FLOAT, 0, 0);
  }

  const elements = (index) => upload(index, gl.ELEMENT_ARRAY_BUFFER);

  function drawn(pos, color, normal, uv) {
    const vao = gl.createVertexArray();
    gl.bindVertexArray(vao);
    attribute(0, pos, 3);
    if (color) attribute(2, color, 3, gl.UNSIGNED_BYTE);
    if (normal) attribute(1, normal, 3);
    if (uv) attribute(3, uv, 2);
    return vao;
  }

  let frame = 0;
  function load(chosen) {
    frame = chosen;
    for (const body of bodies) {
      body.here = at(body.all, 3, body, frame);
      body.shown = colors(body, frame);
      body.normal = body.face && normals(body.here, body.face);
      if (body.vao) gl.deleteVertexArray(body.vao);
      body.vao = drawn(body.here, body.shown, body.normal, body.uv && floats(body.uv));
      body.faceBuffer = body.face && elements(body.face);
      if (body.lines && !body.linesVao) body.linesVao = drawn(body.lines, null, null, null);
      if (body.image && !body.picture) {
        const [height, width] = body.image_size;
        body.picture = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D, body.picture);
        gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, width, height, 0, gl.RGB, gl.UNSIGNED_BYTE, integers(body.image));
        gl.generateMipmap(gl.TEXTURE_2D);
      }
    }
    redraw();
  }

  // ---- cameras: a rotation, a zoom and a shift; linked shapes share one.

  const fresh = () => ({turn: Float32Array.from(scene.turn), zoom: 1, shift: [0, 0]});
  let cameras;
  function reset() {
    const shared = fresh();
    cameras = bodies.map(() => (scene.linked ? shared : fresh()));
    redraw();
  }

  // Cells of the page, as many columns as make them largest; [x, y, width, height] from the bottom left in pixels.
  function cells() {
    let best = null;
    for (let columns = 1; columns <= bodies.length; columns++) {
      const rows = Math.ceil(bodies.length / columns), w = canvas.width / columns, h = canvas.height / rows;
      if (!best || Math.min(w, h) > Math.min(best.w, best.h)) best = {columns, rows, w, h};
    }
    const {columns, rows, w, h} = best;
    return bodies.map((_, i) => [(i % columns) * w, (rows - 1 - Math.floor(i / columns)) * h, w, h]);
  }

  function projection(i) {
    const [, , w, h] = cells()[i], {zoom, shift} = cameras[i], scale = (0.86 * zoom) / (scene.radius * bodies[i].size);
    const unit = Math.min(w, h);
    return [(scale * unit) / w, (scale * unit) / h, shift[0], shift[1]];
  }

  let waiting = false, slow = false, rest = 0;
  function redraw() {
    if (!waiting) requestAnimationFrame(() => draw());
    waiting = true;
  }

  // While it moves on a machine that draws slowly, a coarse shape stands for each; the whole follows when it rests.
  function moved() {
    if (slow && !waiting) requestAnimationFrame(() => draw(true));
    if (!slow) return redraw();
    waiting = true;
    clearTimeout(rest);
    rest = setTimeout(redraw, 200);
  }

  // Faces between cells of a grid, with the first vertex of each cell for its corner; of a cloud, one point a cell.
  function coarse({here, face, count, centre, size}) {
    const first = new Map(), cell = new Uint32Array(count), few = [];
    const step = (2 * scene.radius * size * Math.sqrt(bodies.length)) / 36;
    for (let v = 0; v < count; v++) {
      const [x, y, z] = [0, 1, 2].map((a) => Math.floor((here[3 * v + a] - centre[a]) / step) + 512);
      const key = (x * 1024 + y) * 1024 + z;
      if (!first.has(key)) first.set(key, v);
      cell[v] = first.get(key);
    }
    if (!face) return Uint32Array.from(first.values());
    const seen = new Set();
    for (let f = 0; f < face.length; f += 3) {
      const [a, b, c] = [cell[face[f]], cell[face[f + 1]], cell[face[f + 2]]];
      if (a === b || b === c || c === a) continue;
      const key = [a, b, c].sort().join();
      if (!seen.has(key)) few.push(a, b, c);
      seen.add(key);
    }
    return Uint32Array.from(few);
  }

  // Time that a picture takes to be there, which only reading it back tells.
  function measure() {
    draw();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    const began = performance.now();
    draw();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    slow = performance.now() - began > 30;
  }

  function draw(few = false) {
    waiting = false;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(ratio * side)));
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.SCISSOR_TEST);
    const places = cells();
    bodies.forEach((body, i) => {
      const cell = places[i].map(Math.round);
      gl.viewport(...cell);
      gl.scissor(...cell);
      gl.enable(gl.DEPTH_TEST);
      gl.uniformMatrix3fv(uniforms.turn, true, cameras[i].turn);
      gl.uniform3fv(uniforms.centre, body.centre);
      gl.uniform4fv(uniforms.view, projection(i));
      gl.uniform1f(uniforms.depth, 0.5 / (scene.radius * body.size));
      gl.uniform1i(uniforms.parted, body.label || (body.carried && bodies[0].label) ? 1 : 0);
      gl.uniform1i(uniforms.textured, body.picture ? 1 : 0);
      if (body.picture) gl.bindTexture(gl.TEXTURE_2D, body.picture);
      gl.uniform1i(uniforms.kind, body.face ? 0 : 1);
      gl.uniform1f(uniforms.size, pointSize(i));
      gl.bindVertexArray(body.vao);
      const wide = body.face instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
      if (few) {
        if (!body.few) body.few = coarse(body), body.fewBuffer = 0;
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, (body.fewBuffer ||= elements(body.few)));
        gl.drawElements(body.face ? gl.TRIANGLES : gl.POINTS, body.few.length, gl.UNSIGNED_INT, 0);
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, body.faceBuffer);
      } else if (body.face) gl.drawElements(gl.TRIANGLES, body.face.length, wide, 0);
      else gl.drawArrays(gl.POINTS, 0, body.count);
      gl.uniform1i(uniforms.textured, 0);
      if (body.linesVao) {
        gl.bindVertexArray(body.linesVao);
        gl.disableVertexAttribArray(2);
        gl.vertexAttrib3f(2, 0.85, 0.15, 0.2);
        gl.uniform1i(uniforms.kind, 2);
        gl.drawArrays(gl.LINES, 0, body.lines.length / 3);
      }
      if (marked[i] === undefined) return;
      const v = marked[i], n = body.normal, t = cameras[i].turn;
      const away = n && t[6] * n[3 * v] + t[7] * n[3 * v + 1] + t[8] * n[3 * v + 2] < 0;
      gl.disable(gl.DEPTH_TEST);
      gl.bindVertexArray(body.vao);
      gl.uniform1i(uniforms.kind, away ? 4 : 3);
      gl.uniform1f(uniforms.size, 15 * ratio);
      gl.drawArrays(gl.POINTS, v, 1);
    });
    placeNames(places, ratio);
  }

  function pointSize(i) {
    const [, , w, h] = cells()[i];
    return Math.max(2, (0.9 * cameras[i].zoom * Math.min(w, h)) / Math.sqrt(bodies[i].count + 60));
  }

  // ---- what is under the mouse

  // Where the mouse is: the shape, and x, y in the plane of the camera.
  function under(event) {
    const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
    const x = (event.clientX - box.left) * ratio, y = canvas.height - (event.clientY - box.top) * ratio;
    const i = cells().findIndex(([a, b, w, h]) => x >= a && x < a + w && y >= b && y < b + h);
    if (i < 0) return null;
    const [a, b, w, h] = cells()[i], [sx, sy, tx, ty] = projection(i);
    return {i, x: ((2 * (x - a)) / w - 1 - tx) / sx, y: ((2 * (y - b)) / h - 1 - ty) / sy, pixel: 2 / (w * sx)};
  }

  function seen(i) {
    const {here, centre} = bodies[i], t = cameras[i].turn, out = new Float32Array(here.length);
    for (let k = 0; k < here.length; k += 3) {
      const x = here[k] - centre[0], y = here[k + 1] - centre[1], z = here[k + 2] - centre[2];
      for (let row = 0; row < 3; row++) out[k + row] = t[3 * row] * x + t[3 * row + 1] * y + t[3 * row + 2] * z;
    }
    return out;
  }

  // The vertex nearest to where the ray of the mouse meets the surface first; of a cloud, the front-most point within reach.
  function pick(place) {
    const {i, x, y, pixel} = place, p = seen(i), {face, count} = bodies[i];
    let best = -1, high = -Infinity;
    if (!face) {
      const reach = Math.max(3, pointSize(i) / 2) * pixel;
      for (let v = 0; v < count; v++)
        if (Math.hypot(p[3 * v] - x, p[3 * v + 1] - y) < reach && p[3 * v + 2] > high) (best = v), (high = p[3 * v + 2]);
      return best;
    }
    for (let f = 0; f < face.length; f += 3) {
      const a = 3 * face[f], b = 3 * face[f + 1], c = 3 * face[f + 2];
      const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], vx = p[c] - p[a], vy = p[c + 1] - p[a + 1];
      const area = ux * vy - uy * vx, dx = x - p[a], dy = y - p[a + 1];
      const s = (dx * vy - dy * vx) / area, t = (ux * dy - uy * dx) / area;
      if (!(s >= 0 && t >= 0 && s + t <= 1)) continue;
      const z = p[a + 2] + s * (p[b + 2] - p[a + 2]) + t * (p[c + 2] - p[a + 2]);
      if (z > high) (high = z), (best = [[1 - s - t, face[f]], [s, face[f + 1]], [t, face[f + 2]]].sort((l, r) => r[0] - l[0])[0][1]);
    }
    return best;
  }

  // For a vertex of one shape, that of every other which corresponds to it, or undefined.
  function corresponding(i, v) {
    const found = [];
    found[i] = v;
    if (!scene.linked) return found;
    if (!map) {
      bodies.forEach((body, j) => (body.count === bodies[i].count ? (found[j] = v) : 0));
    } else if (i === 1) {
      if (map[v] < bodies[0].count) found[0] = map[v];
    } else {
      const p = bodies[0].here;
      let near = Infinity;
      for (let w = 0; w < map.length; w++) {
        const k = 3 * map[w];
        if (k >= p.length) continue;
        const d = Math.hypot(p[k] - p[3 * v], p[k + 1] - p[3 * v + 1], p[k + 2] - p[3 * v + 2]);
        if (d < near) (near = d), (found[1] = w);
      }
    }
    return found;
  }

  function value(i, v) {
    const body = bodies[i];
    if (body.scalar) {
      const stored = at(body.scalar, 1, body, frame)[v], [low, high] = scene.limits;
      return ` = ${number(low + ((high - low) * stored) / 65535)}`;
    }
    return body.label ? ` is ${scene.legend[at(body.label, 1, body, frame)[v]][0]}` : "";
  }

  const number = (x) => (x === 0 ? "0" : Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3 ? x.toExponential(2) : String(+x.toPrecision(3)));

  let marked = [];
  const help = $("info").textContent;
  function hover(event) {
    const place = under(event), v = place ? pick(place) : -1;
    marked = v < 0 ? [] : corresponding(place.i, v);
    const order = v < 0 ? [] : [place.i, ...bodies.keys()].filter((i, k, all) => marked[i] !== undefined && all.indexOf(i) === k);
    $("info").textContent =
      order.map((i) => `${bodies[i].name ? bodies[i].name + ": " : ""}vertex ${marked[i]}${value(i, marked[i])}`).join("  \u2194  ") || help;
    redraw();
  }

  // ---- mouse, fingers and keys

  function turned(camera, dx, dy) {
    const angle = Math.hypot(dx, dy);
    if (!angle) return;
    // About the axis across the movement, in the plane of the picture (Rodrigues).
    const x = dy / angle, y = dx / angle, c = Math.cos(angle), s = Math.sin(angle), d = 1 - c;
    const r = [c + x * x * d, x * y * d, y * s, x * y * d, c + y * y * d, -x * s, -y * s, x * s, c];
    const t = camera.turn.slice();
    for (let row = 0; row < 3; row++)
      for (let column = 0; column < 3; column++)
        camera.turn[3 * row + column] =
          r[3 * row] * t[column] + r[3 * row + 1] * t[3 + column] + r[3 * row + 2] * t[6 + column];
  }

  function zoomed(camera, factor) {
    camera.zoom = Math.min(60, Math.max(0.2, camera.zoom * factor));
  }

  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return hover(event);
    const place = under(last);
    const dx = event.clientX - last.clientX, dy = event.clientY - last.clientY;
    fingers.set(event.pointerId, event);
    if (!place) return;
    const camera = cameras[place.i], [, , w, h] = cells()[place.i], ratio = window.devicePixelRatio || 1;
    if (fingers.size === 2) {
      const [a, b] = [...fingers.values()], other = a.pointerId === event.pointerId ? b : a;
      const apart = (e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
      zoomed(camera, apart(event) / Math.max(1, apart(last)));
    } else if (event.shiftKey || event.buttons & 2) {
      camera.shift[0] += (2 * ratio * dx) / w;
      camera.shift[1] -= (2 * ratio * dy) / h;
    } else turned(camera, dx / 150, dy / 150);
    moved();
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const place = under(event);
    if (place) zoomed(cameras[place.i], Math.exp(-event.deltaY / 600));
    moved();
  }, {passive: false});
  window.addEventListener("keydown", (event) => {
    if (event.target === $("slider") || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = {ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15]};
    const each = new Set(cameras);
    if (event.key === "r") reset();
    else if (steps[event.key]) each.forEach((camera) => turned(camera, ...steps[event.key]));
    else if (event.key === "+" || event.key === "=") each.forEach((camera) => zoomed(camera, 1.2));
    else if (event.key === "-") each.forEach((camera) => zoomed(camera, 1 / 1.2));
    else if (event.key === "b") document.documentElement.dataset.theme = dark() ? "light" : "dark";
    else return;
    event.preventDefault();
    redraw();
  });
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  // ---- legend, names, slider

  function placeNames(places, ratio) {
    places.forEach(([x, y, w], i) => {
      const label = $("names").children[i];
      label.style.left = `${(x + w / 2) / ratio}px`;
      label.style.bottom = `${y / ratio + 6}px`;
    });
  }
  for (const body of bodies) $("names").append(Object.assign(document.createElement("span"), {textContent: body.name}));
  if (scene.limits) {
    $("bar").style.background = `linear-gradient(to top, ${scene.ramp.join(", ")})`;
    [$("high").textContent, $("low").textContent] = [number(scene.limits[1]), number(scene.limits[0])];
    $("scale").hidden = false;
  }
  for (const [name, color] of (scene.legend || []).slice(0, 40)) {
    const row = document.createElement("div"), chip = document.createElement("i");
    chip.style.background = color;
    row.append(chip, name);
    $("labels").append(row);
  }
  if (scene.steps > 1) {
    $("steps").hidden = false;
    $("slider").max = scene.steps - 1;
    $("slider").addEventListener("input", () => {
      $("step").textContent = `${$("slider").value} of ${scene.steps - 1}`;
      load(+$("slider").value);
    });
  }

  reset();
  load(0);
  measure();
  new ResizeObserver(redraw).observe(canvas);
  // For whoever drives the page by a script.
  window.viewer = {draw, moved, load, reset, gl, bodies, get marked() { return marked; }, get cameras() { return cameras; }};
  document.body.dataset.ready = "yes";
})();
