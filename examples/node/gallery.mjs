// The enrolled products: the version that CURRENT names, every byte of it checked.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseNpy } from "./npy.mjs";

const ROLES = ["item", "calibration_vectors", "calibration_scores"];

/**
 * `version`; `items`: ids of the answered products; `vectors` Float32Array (M × `dimension`); `item` BigInt64Array (M),
 * index into `items`; `scores`: the calibration scores, ascending; `products`: details of products enrolled later.
 */
export function openGallery(folder, embedderSha256) {
  const pointer = /^(\d{6}) ([0-9a-f]{64})\n$/.exec(readFileSync(join(folder, "CURRENT"), "utf8"));
  if (!pointer) throw new Error(`${folder}/CURRENT: expected one line 'VERSION SHA256'`);
  const [, version, digest] = pointer;
  const manifest = JSON.parse(checked(folder, `${version}/manifest.json`, digest).toString("utf8"));
  if (!["facings.gallery/1", "facings.gallery/1.1"].includes(manifest.schema)) {
    throw new Error(`${folder}/${version}: schema is ${JSON.stringify(manifest.schema)}; expected facings.gallery/1 or 1.1`);
  }
  if (manifest.embedder_sha256 !== embedderSha256) throw new Error(`${folder}/${version}: was made with another embedder`);
  const { segments, files } = arrays(version, manifest);
  const read = (entry) => {
    if (!/^\d{6}\/[a-z_]+(-\d+)?\.npy$/.test(entry.file)) throw new Error(`${folder}: ${entry.file} is no gallery array`);
    return parseNpy(checked(folder, entry.file, entry.sha256), entry.file);
  };
  const views = segments.map(read);
  const owner = read(files.item).data;
  const scores = read(files.calibration_scores).data.sort();
  return { version, scores, products: manifest.products ?? {}, ...answered(folder, manifest, views, owner) };
}

/** Where the arrays lie: in version 1 beside the manifest, in 1.1 where the version put them that first had them. */
function arrays(version, manifest) {
  if (manifest.schema === "facings.gallery/1.1") return manifest;
  const entry = (name) => ({ file: `${version}/${name}.npy`, sha256: manifest.files[`${name}.npy`] });
  return { segments: [entry("vectors")], files: Object.fromEntries(ROLES.map((name) => [name, entry(name)])) };
}

/** Rows of products that are not retired, and their owners counted among these products alone. */
function answered(folder, manifest, views, owner) {
  const dimension = views[0]?.shape[1];
  const rows = views.reduce((sum, view) => sum + view.shape[0], 0);
  if (!views.every((view) => view.type === "float32" && view.shape[1] === dimension) || rows !== owner.length) {
    throw new Error(`${folder}: ${rows} views for ${owner.length} owners, or views of several lengths`);
  }
  const retired = new Set(manifest.retired ?? []);
  const items = manifest.items.filter((name) => !retired.has(name));
  const number = new Map(items.map((name, index) => [name, BigInt(index)]));
  // -1: a view of no product any more.
  const numbers = Array.from(owner, (index) => (index < 0n ? undefined : number.get(manifest.items[Number(index)])));
  const count = numbers.filter((one) => one !== undefined).length;
  const vectors = new Float32Array(count * dimension);
  const item = new BigInt64Array(count);
  let row = 0;
  let place = 0;
  for (const view of views) {
    for (let start = 0; start < view.data.length; start += dimension, row += 1) {
      if (numbers[row] === undefined) continue;
      vectors.set(view.data.subarray(start, start + dimension), place * dimension);
      item[place] = numbers[row];
      place += 1;
    }
  }
  return { items, vectors, item, dimension };
}

function checked(folder, name, digest) {
  const bytes = readFileSync(join(folder, name));
  if (createHash("sha256").update(bytes).digest("hex") !== digest) throw new Error(`${folder}/${name}: wrong checksum`);
  return bytes;
}
