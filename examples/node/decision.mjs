// From similarities to an answer: the contract facings.decision/1. Knows nothing of pictures or graphs.

/** The decision of a frame. `found`: boxes, scores (and attributes) of N products; `matches`: `items`, `similarities`, k each. */
export function decide(found, matches, bundle) {
  const { gallery, postprocess } = bundle;
  const names = bundle.manifest.detector?.attributes ?? [];
  const items = Array.from(found.scores, (score, number) => {
    const candidates = matches ? candidatesOf(matches, number, gallery) : [];
    const status = judge(candidates, postprocess);
    return {
      box: Array.from(found.boxes.subarray(4 * number, 4 * number + 4), (side) => rounded(side, 2)),
      detection_score: rounded(score, 6),
      status,
      product_id: status === "known" ? candidates[0].product_id : null,
      category: category(status, candidates, bundle),
      candidates,
      polygon: [], // outlines are not drawn here
      attributes: Object.fromEntries(names.map((name, at) => [name, rounded(found.attributes[number][at], 6)])),
    };
  });
  return { schema: "facings.decision/1", gallery_version: gallery ? gallery.version : null, items };
}

function candidatesOf(matches, number, gallery) {
  return Array.from({ length: matches.k }, (_, rank) => {
    const at = number * matches.k + rank;
    const similarity = matches.similarities[at];
    return {
      product_id: gallery.items[Number(matches.items[at])],
      similarity: rounded(similarity, 6),
      p_value: rounded(pValue(similarity, gallery.scores), 6),
    };
  });
}

/** Share of the calibration scores (ascending) that are at least as high, counting the asked one itself, in float32. */
export function pValue(similarity, scores) {
  let low = 0;
  let high = scores.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] < similarity) low = middle + 1;
    else high = middle;
  }
  return Math.fround((1 + scores.length - low) / (1 + scores.length));
}

function judge(candidates, postprocess) {
  if (candidates.length === 0 || candidates[0].p_value > postprocess.false_accept_rate) return "unknown";
  const close = candidates.length > 1 && candidates[0].similarity - candidates[1].similarity < postprocess.ambiguity_margin;
  return close ? "ambiguous" : "known";
}

/** The product's category; of an ambiguous item what the near candidates share; of an unknown one nothing. */
function category(status, candidates, bundle) {
  if (status === "unknown") return [];
  const margin = status === "ambiguous" ? bundle.postprocess.ambiguity_margin : 0;
  const paths = candidates
    .filter((one) => candidates[0].similarity - one.similarity <= margin)
    .map((one) => product(one.product_id, bundle).category ?? []);
  const shared = Math.min(...paths.map((path) => path.length));
  let level = 0;
  while (level < shared && paths.every((path) => path[level] === paths[0][level])) level += 1;
  return paths[0].slice(0, level);
}

/** Details from the enrolment, else from the taxonomy. */
function product(id, bundle) {
  for (const table of [bundle.gallery.products, bundle.products]) {
    if (Object.hasOwn(table, id) && Object.keys(table[id]).length > 0) return table[id];
  }
  return { name: id, category: [] };
}

/** Rounded to decimals as Python's `round` does: by the exact value, and halves to the even digit. */
export function rounded(value, digits) {
  const [whole, fraction] = Math.abs(value).toFixed(60).split(".");
  const half = fraction.slice(digits) === "5".padEnd(60 - digits, "0");
  let text = Math.abs(value).toFixed(digits);
  if (half && Number((whole + fraction.slice(0, digits)).at(-1)) % 2 === 0) text = `${whole}.${fraction.slice(0, digits)}`;
  return value < 0 ? -Number(text) : Number(text);
}
