// From a detector's outputs to boxes in pixels of the picture. All sums in float32, as the Python runtime takes them.
const f = Math.fround;

/**
 * `outputs` of one input (`boxes` N × 4 in its pixels, `scores`, `labels`, perhaps `attributes` N × T) → `boxes` Float32Array,
 * `scores`, `attributes` rows; best first, cut at the picture's edges, without what lies outside of it.
 */
export function inPicture(outputs, transform, height, width) {
  const [scaleX, scaleY, padX, padY] = transform;
  const limits = [f(width), f(height)];
  const found = [];
  const told = outputs.attributes ? outputs.attributes.length / outputs.scores.length : 0;
  for (let n = 0; n < outputs.scores.length; n += 1) {
    const box = [0, 1, 2, 3].map((side) => {
      const along = side % 2;
      const place = f(f(outputs.boxes[4 * n + side] - [padX, padY][along]) / [scaleX, scaleY][along]);
      return Math.min(Math.max(place, 0), limits[along]);
    });
    if (area(box) > 0 && outputs.scores[n] > 0) {
      found.push({ box, score: outputs.scores[n], attributes: outputs.attributes?.slice(n * told, (n + 1) * told) });
    }
  }
  return found.sort((a, b) => b.score - a.score); // stable: of equals the earlier first
}

/** What the bundle's thresholds leave of it. */
export function selected(found, postprocess, least) {
  const kept = postprocess.nms_iou === null ? found : suppressed(found, f(postprocess.nms_iou));
  return kept.filter((one) => one.score >= f(least)).slice(0, postprocess.max_detections);
}

/** Greedy non-maximum suppression: a box goes when its IoU with a better one is above the threshold. */
function suppressed(found, threshold) {
  const kept = [];
  for (const one of found) if (kept.every((better) => iou(better.box, one.box) <= threshold)) kept.push(one);
  return kept;
}

function area([x1, y1, x2, y2]) {
  return f(Math.max(f(x2 - x1), 0) * Math.max(f(y2 - y1), 0));
}

function iou(a, b) {
  const shared = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  const union = f(f(area(a) + area(b)) - shared);
  return union > 0 ? f(shared / Math.max(union, f(1e-12))) : 0;
}

/** The part of `image` (H × W × 3) in a box widened by `margin`, rounded outward, clipped, a pixel or more: as training cuts. */
export function cutCrop(image, [x1, y1, x2, y2], margin) {
  const [height, width] = image.shape;
  const between = (value, low, high) => Math.min(Math.max(value, low), high);
  const [wider, higher] = [(x2 - x1) * margin, (y2 - y1) * margin];
  const left = between(Math.floor(x1 - wider), 0, width - 1);
  const top = between(Math.floor(y1 - higher), 0, height - 1);
  const right = between(Math.ceil(x2 + wider), left + 1, width);
  const bottom = between(Math.ceil(y2 + higher), top + 1, height);
  const row = 3 * (right - left);
  const data = new Uint8Array(row * (bottom - top));
  for (let y = top; y < bottom; y += 1) {
    const start = 3 * (y * width + left);
    data.set(image.data.subarray(start, start + row), row * (y - top));
  }
  return { type: "uint8", shape: [bottom - top, right - left, 3], data };
}
