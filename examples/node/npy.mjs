// Reading NumPy's .npy files: numbers in little-endian rows, nothing pickled.
import { readFileSync } from "node:fs";

const KINDS = {
  "<f4": { type: "float32", array: Float32Array },
  "<f8": { type: "float64", array: Float64Array },
  "<i8": { type: "int64", array: BigInt64Array },
  "|u1": { type: "uint8", array: Uint8Array },
};

/** `{ type, shape, data }` of an array file, C order. Throws for another format, type, order or a wrong length. */
export function readNpy(path) {
  return parseNpy(readFileSync(path), path);
}

/** The same from bytes; `name` is for messages. */
export function parseNpy(bytes, name) {
  if (bytes.length < 12 || bytes.toString("latin1", 0, 6) !== "\x93NUMPY") throw new Error(`${name}: not a .npy file`);
  const major = bytes[6];
  if (major < 1 || major > 3) throw new Error(`${name}: .npy version ${major}; 1 to 3 are read`);
  const start = major === 1 ? 10 : 12;
  const end = start + (major === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8));
  const header = bytes.toString("latin1", start, end);
  const descr = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const sides = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (!Object.hasOwn(KINDS, descr ?? "") || order !== "False" || sides === undefined) {
    throw new Error(`${name}: header ${header.trim()}; expected float32, float64, int64 or uint8 in C order`);
  }
  const shape = sides.split(",").map((side) => side.trim()).filter(Boolean).map(Number);
  const count = shape.reduce((product, side) => product * side, 1);
  const { type, array } = KINDS[descr];
  if (bytes.length - end !== count * array.BYTES_PER_ELEMENT) {
    throw new Error(`${name}: ${bytes.length - end} bytes for ${type} (${shape.join(", ")})`);
  }
  // A copy: a typed array must begin at a multiple of its element's size.
  const own = new Uint8Array(bytes.subarray(end)).buffer;
  return { type, shape, data: new array(own) };
}
