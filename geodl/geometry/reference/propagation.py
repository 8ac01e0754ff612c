"""Exact geodesics from one vertex: windows of straight rays, unfolded face by face over the edges, nearest first."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from geodl.geometry.reference.intrinsic_mesh import IntrinsicMesh, after, before

__all__ = ["Propagation", "Visit"]

# Relative slacks, all far below the 1e-5 promised and far above rounding: a vertex counts as lit when a window misses it by _HIT
# of the edge; something known beats a window only by more than _BEAT; a window narrower than _THIN of its edge is dropped, and one
# over a border reported if it is wider than _SEEN; vertices nearer to one another than _TIE are equally far.
_HIT, _BEAT, _THIN, _SHADOW, _SEEN, _TIE = 1e-9, 1e-11, 1e-11, 1e-9, 1e-6, 1e-9


def _ratio(a: float, b: float) -> float:
    """a / b as processors have it: rays along an edge meet it nowhere, or everywhere."""
    if b != 0:
        return a / b
    return math.copysign(math.inf, a) * math.copysign(1, b) if a != 0 else math.nan


class Visit(NamedTuple):
    """The shortest path found to a vertex.

    It leaves `root` (the source, or the last vertex where it bends) at fan angle `departure` and is straight from there; seen from
    the vertex it lies at fan angle `arrival`.
    """

    distance: float
    departure: float
    arrival: float
    root: int


class _Window(NamedTuple):
    """Rays from a point (sx, sy), sy < 0, in the frame of `halfedge`, through [begin, end] of its edge into its face.

    The point is the unfolded image of `root`, at distance `sigma` from the source. A ray at angle psi of the frame leaves root at
    fan angle psi + turn. halfedge < 0 marks an event instead: the vertex `root` was reached at distance sigma and bends paths.
    """

    begin: float
    end: float
    sx: float
    sy: float
    sigma: float
    turn: float
    halfedge: int
    root: int


class Propagation:
    """Windows over the edges (Chen & Han 1990), most of them discarded by what is known at the vertices (Xin & Wang 2009).

    Attributes:
        visits: vertices with a finite distance; those beyond the bound hold only an upper bound.
        stopped_at: how near a window met each border.
        windows: how many there were.
    """

    def __init__(self, mesh: IntrinsicMesh) -> None:
        self._mesh = mesh
        self._width = max(0.25, 0.0025 * mesh.longest)
        self.windows = 0

    def distance(self, v: int) -> float:
        return self.visits[v].distance if v in self.visits else math.inf

    def run(self, source: int, bound: float, targets: Sequence[int] = (), nearest: int = 0) -> None:
        """All distances up to `bound` (in mesh units) from `source`.

        With `targets`, only until they are known; with `nearest`, only until that many vertices and one that lies farther are.
        """
        self.visits: dict[int, Visit] = {source: Visit(0, 0, 0, source)}
        self.stopped_at = [math.inf] * 4
        self._splits: dict[int, tuple[float, float]] = {}
        self._buckets: defaultdict[int, list[_Window]] = defaultdict(list)
        self._current = 0
        # Reaching a point exactly at the bound must not depend on the last bit.
        self._bound = bound * (1 + 1e-9)
        self._spread(source, True)
        while self._buckets:
            self._current = min(self._buckets) if self._current not in self._buckets else self._current
            now = self._current * self._width
            if now > self._bound:
                break
            if len(targets) and all(self.distance(v) <= now for v in targets):
                break
            if nearest > 0 and self._knows(nearest, now):
                break
            windows = self._buckets[self._current]
            while windows:
                window = windows.pop()
                if window.halfedge >= 0:
                    self._propagate(window)
                elif window.sigma == self.visits[window.root].distance:
                    self._spread(window.root, False)
            del self._buckets[self._current]

    def reach(self, nearest: int) -> float:
        """The distance that holds the `nearest` vertices, those as far as the last of them, and no other: half-way to the next."""
        known = sorted(visit.distance for visit in self.visits.values())
        farthest = known[min(nearest, len(known)) - 1]
        beyond = next((distance for distance in known if distance > farthest * (1 + _TIE)), math.inf)
        if beyond < math.inf:
            return 0.5 * (farthest + beyond)
        return farthest if farthest > 0 else 1  # an isolated vertex has itself alone, whatever the radius

    def _knows(self, nearest: int, now: float) -> bool:
        known = sorted(visit.distance for visit in self.visits.values() if visit.distance <= now)
        return len(known) > nearest and known[-1] > known[nearest - 1] * (1 + _TIE)

    def _enqueue(self, key: float, window: _Window) -> None:
        # Rounding may put a child a hair before its parent; it must not fall into a bucket that has passed.
        self._buckets[max(int(key / self._width), self._current)].append(window)
        self.windows += 1

    def _update(self, v: int, distance: float, root: int, departure: float, arrival: float) -> None:
        if not distance < self.distance(v):
            return
        self.visits[v] = Visit(distance, departure, arrival, root)
        if self._mesh.bends[v] and distance <= self._bound:
            self._enqueue(distance, _Window(0, 0, 0, 0, distance, 0, -1, v))

    def _spread(self, v: int, everywhere: bool) -> None:
        """Windows and edges that leave v: all of them, or those in its shadow, at least pi from where the path came in."""
        mesh = self._mesh
        if everywhere or mesh.unordered[v]:
            for h in mesh.fans[v]:
                self._spread_corner(h, 0, mesh.angle[h])
            return
        arrival, total = self.visits[v].arrival, mesh.total[v]

        def lit(begin: float, end: float) -> None:
            for h in mesh.fans[v]:
                low, high = begin - mesh.fan[h], end - mesh.fan[h]
                if high >= 0 and low <= mesh.angle[h]:
                    self._spread_corner(h, max(low, 0), min(high, mesh.angle[h]))

        if mesh.open[v]:
            lit(arrival + math.pi - _SHADOW, total + _SHADOW)
            lit(-_SHADOW, arrival - math.pi + _SHADOW)
            return
        begin = math.fmod(arrival + math.pi - _SHADOW, total)
        width = total - 2 * math.pi + 2 * _SHADOW
        lit(begin, begin + width)
        if begin + width > total:
            lit(begin - total, begin + width - total)

    def _spread_corner(self, h: int, begin: float, end: float) -> None:
        """The part of a corner at h's origin between two angles from h: rays over the opposite edge, and its own edges."""
        mesh, n, p = self._mesh, after(h), before(h)
        root, sigma, fan = mesh.corner[h], self.visits[mesh.corner[h]].distance, mesh.fan[h]
        first, last = begin <= _SHADOW, end >= mesh.angle[h] - _SHADOW
        if first:
            self._update(mesh.corner[n], sigma + mesh.length[h], root, fan, mesh.fan[n] + mesh.angle[n])
        if last:
            self._update(mesh.corner[p], sigma + mesh.length[p], root, fan + mesh.angle[h], mesh.fan[p])

        def meet(delta: float) -> float:
            # Law of sines: where the ray at angle delta meets the opposite edge, from its start.
            return _ratio(mesh.length[h] * math.sin(delta), math.sin(delta + mesh.angle[n]))

        length = mesh.length[n]
        near = 0 if first else min(max(meet(begin), 0), length)
        far = length if last else min(max(meet(end), 0), length)
        # The twin runs backwards, so its frame is that of the opposite edge turned by pi.
        window = _Window(
            length - far,
            length - near,
            length - mesh.px[n],
            -mesh.py[n],
            sigma,
            fan - mesh.angle[n],
            mesh.twin[n],
            root,
        )
        self._push(mesh.flip[n], length, window, mesh.corner[p], mesh.corner[n])

    def _propagate(self, window: _Window) -> None:
        """Carries a window over its face: lights the opposite corner, and leaves by the left edge, the right edge or both."""
        mesh, h = self._mesh, window.halfedge
        n, p = after(h), before(h)
        begin, end, sx, sy, sigma, turn, _, root = window
        v1, v2, v3 = mesh.corner[h], mesh.corner[n], mesh.corner[p]
        px, py, length = mesh.px[h], mesh.py[h], mesh.length[h]
        d1, d2 = self.distance(v1), self.distance(v2)
        hypot = math.hypot
        slack = _BEAT * (sigma - sy + length)
        # The vertices may have come nearer since the window was made.
        if sigma + hypot(sx - end, sy) > d1 + end + slack:
            return
        if sigma + hypot(sx - begin, sy) > d2 + length - begin + slack:
            return
        crossing = sx - _ratio((px - sx) * sy, py - sy)  # where the ray to v3 meets the edge
        hit = _HIT * length
        left, right = crossing > begin, crossing < end
        if begin - hit < crossing < end + hit:
            dx, dy = px - sx, py - sy
            through = sigma + hypot(dx, dy)
            if through < self.distance(v3):
                ray = math.atan2(dy, dx)
                self._update(v3, through, root, ray + turn, mesh.fan[p] + ray - mesh.angle[h])
            if left and right:
                # One angle, one split: of all windows over this edge the one nearest to v3 alone needs both children.
                best = self._splits.get(h)
                if best is None or through < best[0]:
                    self._splits[h] = through, crossing
                elif through > best[0] * (1 + _BEAT):
                    left, right = (left, False) if crossing < best[1] else (False, right)
        if left:

            def meet_left(b: float) -> float:  # fraction of v1 v3
                return min(max(_ratio(-b * sy, -px * sy - py * (b - sx)), 0), 1)

            low, high = meet_left(begin), 1 if crossing < end else meet_left(end)
            side = mesh.length[p]
            c, s = px / side, py / side
            # Rays to the left edge pass v2 on its left: if v2 is the shorter way to the first of them, it is to all.
            ax, ay = low * px, low * py
            if not sigma + hypot(ax - sx, ay - sy) > d2 + hypot(ax - length, ay) + slack:
                x, y = sx * c + sy * s, sy * c - sx * s
                child = _Window(
                    low * side, high * side, x, y, sigma, turn + mesh.angle[h], mesh.twin[p], root
                )
                self._push(mesh.flip[p], side, child, v1, v3)
        if right:
            qx = length - px

            def meet_right(b: float) -> float:  # fraction of v3 v2
                return min(max(1 - _ratio((length - b) * sy, qx * sy - py * (b - sx)), 0), 1)

            low, high = 0 if crossing > begin else meet_right(begin), meet_right(end)
            side = mesh.length[n]
            c, s = qx / side, -py / side
            bx, by = px + high * qx, py - high * py
            if not sigma + hypot(bx - sx, by - sy) > d1 + hypot(bx, by) + slack:
                x, y = (sx - px) * c + (sy - py) * s, (sy - py) * c - (sx - px) * s
                child = _Window(
                    low * side, high * side, x, y, sigma, turn - mesh.angle[n], mesh.twin[n], root
                )
                self._push(mesh.flip[n], side, child, v3, v2)

    def _push(self, flip: bool, length: float, window: _Window, u: int, w: int) -> None:
        """Queues a window over an edge from u (at 0) to w, cut to where neither is a shorter way. Over a border it ends."""
        begin, end, sx, sy, sigma, turn, halfedge, root = window
        du, dw = self.distance(u), self.distance(w)
        hypot = math.hypot
        first, last = sigma + hypot(sx - begin, sy), sigma + hypot(sx - end, sy)
        slack = _BEAT * (sigma - sy + length)
        if last > du + end + slack or first > dw + length - begin + slack:
            return
        if first > du + begin + slack:  # |I X| + sigma = du + X
            k = du - sigma
            begin = min(max(_ratio(sx * sx + sy * sy - k * k, 2 * (k + sx)), begin), end)
            first = sigma + hypot(sx - begin, sy)
        if last > dw + length - end + slack:
            k, x = dw - sigma, length - sx
            end = min(max(length - _ratio(x * x + sy * sy - k * k, 2 * (k + x)), begin), end)
            last = sigma + hypot(sx - end, sy)
        if not end - begin > _THIN * length:
            return
        key = first if sx < begin else last if sx > end else sigma - sy
        if not key <= self._bound:
            return
        if halfedge < 0:
            if end - begin > _SEEN * length:
                self.stopped_at[-halfedge] = min(self.stopped_at[-halfedge], key)
            return
        if flip:
            begin, end, sx = length - end, length - begin, length - sx
        self._enqueue(key, _Window(begin, end, sx, sy, sigma, turn, halfedge, root))
