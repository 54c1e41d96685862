// Does this program give the answers that the bundle gave where it was made? What is compared is what `facings verify` compares.
import { dirname, join } from "node:path";
import { member, readJson } from "./bundle.mjs";
import { readNpy } from "./npy.mjs";

const STAGES = ["pixels", "transform", "prototypes", "crops", "embeddings", "similarities"];
const OF_BOXES = ["coefficients", "attributes"];
// Detections below half the threshold never reach a decision; among them the order of near-equal scores is free.
const RELEVANT = 0.5;

/** `{ name, faults, stages }` of each golden sample; `faults` is empty where all agree. */
export async function checkGolden(recognizer) {
  const { bundle } = recognizer;
  const { golden } = bundle.manifest.files;
  if (!golden) throw new Error(`${bundle.folder}: has no golden samples`);
  const path = member(bundle.folder, golden.file);
  const index = readJson(path, "facings.golden", 1);
  if (index.samples.length === 0) throw new Error(`${path}: lists no samples`);
  // After an enrolment answers differ from the exported ones; the stages before them do not.
  const same = index.gallery_version === (bundle.gallery?.version ?? null);
  const checks = [];
  for (const sample of index.samples) {
    const arrays = Object.entries(sample.arrays).map(([name, file]) => [name, readNpy(join(dirname(path), member("", file)))]);
    const wanted = Object.fromEntries(arrays);
    const faults = await compare(recognizer, wanted, index.tolerances, same ? sample.decision : null);
    const stages = [...Object.keys(wanted).filter((name) => name !== "image"), ...(same ? ["decision"] : [])];
    checks.push({ name: sample.name, faults, stages });
  }
  return checks;
}

async function compare(recognizer, golden, tolerances, decision) {
  const found = await recognizer.stages(golden.image, golden.crop_boxes?.data);
  const faults = [];
  for (const name of STAGES) {
    if (!golden[name] || (name === "similarities" && decision === null)) continue;
    if (found[name]?.shape.join() !== golden[name].shape.join()) {
      faults.push(`${name} is ${found[name]?.shape}; golden ${golden[name].shape}`);
      continue;
    }
    const apart = largest(golden[name].data, found[name].data);
    if (!(apart <= tolerances[name])) faults.push(`${name} differs by ${apart} (tolerance ${tolerances[name]})`);
  }
  if (golden.boxes) {
    const lost = unmatched(golden, found, recognizer.bundle.postprocess.score_threshold * RELEVANT, tolerances);
    if (lost > 0) faults.push(`${lost} of the golden detections are not found within ${tolerances.boxes} pixels`);
  }
  if (decision !== null) faults.push(...decisionFaults(decision, await recognizer.recognize(golden.image)));
  return faults;
}

function largest(first, second) {
  let most = 0;
  for (let i = 0; i < first.length; i += 1) {
    const apart = Math.abs(Number(first[i]) - Number(second[i]));
    if (!(apart <= most)) most = apart; // NaN too
  }
  return most;
}

/** Golden detections without a twin: same label, score, corners and whatever is told of a box within their tolerances. */
function unmatched(golden, found, least, tolerances) {
  const count = golden.scores.shape[1];
  if (found.scores?.shape.join() !== golden.scores.shape.join()) return count;
  const off = (name, i, j) => {
    const width = golden[name].data.length / count;
    const part = (arrays, row) => arrays[name].data.subarray(row * width, (row + 1) * width);
    return largest(part(golden, i), part(found, j));
  };
  const others = OF_BOXES.filter((name) => golden[name]);
  const free = new Set(Array(count).keys());
  let lost = 0;
  for (let i = 0; i < count; i += 1) {
    if (!(golden.scores.data[i] >= least)) continue;
    const twins = [...free].filter(
      (j) =>
        golden.labels.data[i] === found.labels.data[j] &&
        Math.abs(golden.scores.data[i] - found.scores.data[j]) <= tolerances.scores &&
        ["boxes", ...others].every((name) => off(name, i, j) <= tolerances[name]),
    );
    if (twins.length === 0) lost += 1;
    else free.delete(twins.reduce((best, j) => (off("boxes", i, j) < off("boxes", i, best) ? j : best)));
  }
  return lost;
}

/** By count, status and product. */
function decisionFaults(golden, found) {
  if (golden.items.length !== found.items.length) {
    return [`the decision has ${found.items.length} items, golden has ${golden.items.length}`];
  }
  const answers = [golden, found].map((one) => one.items.map((item) => `${item.status} ${item.product_id ?? ""}`).sort());
  const differing = answers[0].filter((answer, i) => answer !== answers[1][i]).length;
  return differing ? [`${differing} items of the decision differ from golden`] : [];
}
