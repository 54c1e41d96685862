// Opening a bundle: nothing in it is used before its checksum is checked. Knows nothing of inference.
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readFileSync, readdirSync } from "node:fs";
import { join, posix } from "node:path";
import { openGallery } from "./gallery.mjs";

/** The checksum of a file's bytes, hexadecimal. */
export function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A JSON object whose `schema` is `name/major`, a minor part may follow. */
export function readJson(path, name, major) {
  const content = JSON.parse(readFileSync(path, "utf8"));
  const found = /^([a-z.]+)\/(\d+)(\.\d+)?$/.exec(content?.schema ?? "");
  if (!found || found[1] !== name || Number(found[2]) !== major) {
    throw new Error(`${path}: schema is ${JSON.stringify(content?.schema)}; this program reads ${name}/${major}`);
  }
  return content;
}

/** The path of a member named inside a bundle. Throws for a name that leaves the folder. */
export function member(folder, name) {
  const inside = typeof name === "string" && name !== "" && !/[\\\0:]/.test(name) && !posix.isAbsolute(name);
  if (!inside || name.split("/").includes("..")) throw new Error(`${folder}: ${JSON.stringify(name)} leaves the folder`);
  return join(folder, name);
}

/**
 * A checked bundle: `folder`, `manifest` (bundle.json), `postprocess`, `products` (taxonomy) and `gallery`, null without one.
 * `graph(role)`: the float32 file. Throws for a missing, changed or added file, a link, or a schema of another major version.
 */
export function openBundle(folder) {
  const manifestFile = join(folder, "bundle.json");
  if (!existsSync(manifestFile)) throw new Error(`${folder}: holds no bundle.json`);
  checkSums(folder, members(folder));
  const manifest = readJson(manifestFile, "facings.bundle", 1);
  for (const [role, entry] of [...Object.entries(manifest.graphs), ...Object.entries(manifest.files)]) {
    if (sha256(readFileSync(member(folder, entry.file))) !== entry.sha256) {
      throw new Error(`${folder}/${entry.file}: its checksum is not the one that bundle.json gives for ${role}`);
    }
  }
  const postprocess = readJson(member(folder, manifest.files.postprocess.file), "facings.postprocess", 1);
  const { products } = readJson(member(folder, manifest.files.taxonomy.file), "facings.taxonomy", 1);
  const enrolled = manifest.graphs.embedder && existsSync(join(folder, "gallery", "CURRENT"));
  const gallery = enrolled ? openGallery(join(folder, "gallery"), manifest.graphs.embedder.sha256) : null;
  return {
    folder, manifest, postprocess, products, gallery,
    has: (role) => Object.hasOwn(manifest.graphs, role),
    graph: (role) => member(folder, manifest.graphs[role].file),
  };
}

/** Every file, relative to the folder. Throws for a link, or anything else that is not a plain file or a folder. */
function members(folder, inside = "") {
  return readdirSync(join(folder, inside)).flatMap((entry) => {
    const name = inside ? `${inside}/${entry}` : entry;
    const facts = lstatSync(join(folder, name));
    if (facts.isDirectory()) return members(folder, name);
    if (!facts.isFile()) throw new Error(`${folder}/${name}: is neither a plain file nor a folder`);
    return [name];
  });
}

function checkSums(folder, names) {
  const listed = new Map();
  for (const line of readFileSync(join(folder, "SHA256SUMS"), "utf8").split("\n").filter(Boolean)) {
    const found = /^([0-9a-f]{64}) {2}(.+)$/.exec(line);
    if (!found) throw new Error(`${folder}/SHA256SUMS: ${JSON.stringify(line)}; expected 'sha256  path'`);
    listed.set(found[2], found[1]);
  }
  // The gallery changes with every enrolment, and has checksums of its own; a signature signs SHA256SUMS itself.
  const apart = ["SHA256SUMS", "signature.json"];
  for (const name of names.filter((one) => !apart.includes(one) && !one.startsWith("gallery/"))) {
    if (!listed.has(name)) throw new Error(`${folder}: ${name} is not listed in SHA256SUMS`);
    if (sha256(readFileSync(join(folder, name))) !== listed.get(name)) {
      throw new Error(`${folder}/${name}: wrong checksum; the file was changed or damaged after the export`);
    }
    listed.delete(name);
  }
  for (const name of listed.keys()) throw new Error(`${folder}: ${name} is listed in SHA256SUMS but missing`);
}
