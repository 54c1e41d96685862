// One frame in, one decision out, through the bundle's float32 graphs.
import ort from "onnxruntime-node";
import { decide } from "./decision.mjs";
import { cutCrop, inPicture, selected } from "./detections.mjs";

const EMBED_BATCH = 16;
export const GOLDEN_CROPS = 8;

export class Recognizer {
  /** Loads every graph once. `threads`: of each graph; by default ONNX Runtime's choice. */
  static async open(bundle, threads) {
    const sessions = {};
    const options = { executionProviders: ["cpu"], logSeverityLevel: 3, ...(threads ? { intraOpNumThreads: threads } : {}) };
    for (const role of Object.keys(bundle.manifest.graphs)) {
      sessions[role] = await ort.InferenceSession.create(bundle.graph(role), options);
    }
    return new Recognizer(bundle, sessions);
  }

  constructor(bundle, sessions) {
    this.bundle = bundle;
    this.sessions = sessions;
  }

  /** The decision for `image`: `{ shape: [H, W, 3], data: Uint8Array }`, RGB. */
  async recognize(image) {
    const { bundle } = this;
    if (bundle.postprocess.standard) throw new Error(`${bundle.folder}: decides by a standard; only thresholds are known here`);
    const found = await this.#found(image, bundle.postprocess.score_threshold);
    let matches = null;
    if (bundle.gallery && found.scores.length > 0) {
      const { data } = await this.#embed(await this.#crops(image, found.boxes));
      matches = await this.#match(data);
    }
    return decide(found, matches, bundle);
  }

  /** The tensors at every stage, as golden samples keep them: name → `{ shape, data }`. */
  async stages(image, cropBoxes) {
    const { bundle } = this;
    const arrays = {};
    if (bundle.has("detector")) Object.assign(arrays, await this.#look(image));
    const boxes = cropBoxes ?? (await this.#found(image, 0)).boxes.slice(0, 4 * GOLDEN_CROPS);
    if (bundle.has("embedder") && boxes.length > 0) {
      arrays.crops = await this.#crops(image, boxes);
      arrays.embeddings = await this.#embed(arrays.crops);
      if (bundle.gallery) {
        const { k, items, similarities } = await this.#match(arrays.embeddings.data);
        arrays.items = { shape: [boxes.length / 4, k], data: items };
        arrays.similarities = { shape: [boxes.length / 4, k], data: similarities };
      }
    }
    return arrays;
  }

  async #run(role, feeds) {
    const inputs = Object.entries(feeds).map(([name, { type, shape, data }]) => [name, new ort.Tensor(type, data, shape)]);
    const outputs = await this.sessions[role].run(Object.fromEntries(inputs));
    return Object.fromEntries(Object.entries(outputs).map(([name, { type, dims, data }]) => [name, { type, shape: dims, data }]));
  }

  /** The letterboxed picture and what the detector says of it. */
  async #look(image) {
    const prepared = await this.#run("preprocess", { image: { ...image, shape: [1, ...image.shape] } });
    return { ...prepared, ...(await this.#run("detector", { pixels: prepared.pixels })) };
  }

  /** What scores `least` or more, best first; without a detector the whole picture. */
  async #found(image, least) {
    const { bundle } = this;
    const [height, width] = image.shape;
    if (!bundle.has("detector")) return { boxes: Float32Array.of(0, 0, width, height), scores: Float32Array.of(1), attributes: [] };
    const { tiles } = bundle.postprocess;
    if (tiles && (width > tiles.size || height > tiles.size)) {
      throw new Error(`the picture of ${width} x ${height} pixels would be cut into tiles of ${tiles.size}: not done here`);
    }
    const { transform, ...outputs } = await this.#look(image);
    const flat = Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
    const found = selected(inPicture(flat, transform.data, height, width), bundle.postprocess, least);
    return {
      boxes: Float32Array.from(found.flatMap((one) => one.box)),
      scores: Float32Array.from(found, (one) => one.score),
      attributes: found.map((one) => one.attributes),
    };
  }

  async #crops(image, boxes) {
    const parts = [];
    for (let start = 0; start < boxes.length; start += 4) {
      const crop = cutCrop(image, boxes.subarray(start, start + 4), this.bundle.postprocess.crop_margin);
      parts.push((await this.#run("crop", { image: { ...crop, shape: [1, ...crop.shape] } })).pixels);
    }
    return stacked(parts);
  }

  async #embed(crops) {
    const one = crops.data.length / crops.shape[0];
    const parts = [];
    for (let start = 0; start < crops.shape[0]; start += EMBED_BATCH) {
      const data = crops.data.subarray(start * one, (start + EMBED_BATCH) * one);
      const shape = [data.length / one, ...crops.shape.slice(1)];
      parts.push((await this.#run("embedder", { crops: { type: "float32", shape, data } })).embeddings);
    }
    return stacked(parts);
  }

  async #match(embeddings) {
    const { items, vectors, item, dimension } = this.bundle.gallery;
    const found = await this.#run("match", {
      embeddings: { type: "float32", shape: [embeddings.length / dimension, dimension], data: embeddings },
      gallery: { type: "float32", shape: [item.length, dimension], data: vectors },
      item: { type: "int64", shape: [item.length], data: item },
    });
    const k = Math.min(this.bundle.postprocess.top_k, items.length);
    if (found.items.shape[1] !== k) throw new Error(`match.onnx gives ${found.items.shape[1]} products; expected ${k}`);
    return { k, items: found.items.data, similarities: found.similarities.data };
  }
}

/** Tensors joined along the first side. */
function stacked(parts) {
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let place = 0;
  for (const part of parts) {
    data.set(part.data, place);
    place += part.data.length;
  }
  return { shape: [parts.reduce((sum, part) => sum + part.shape[0], 0), ...parts[0].shape.slice(1)], data };
}
