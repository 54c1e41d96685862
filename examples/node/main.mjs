// node main.mjs BUNDLE IMAGE.npy   the decision for a picture (uint8, H x W x 3, RGB), as JSON
// node main.mjs BUNDLE --golden    every golden sample, stage by stage; ends with 1 when one differs
import { parseArgs } from "node:util";
import { openBundle } from "./bundle.mjs";
import { checkGolden } from "./golden.mjs";
import { readNpy } from "./npy.mjs";
import { Recognizer } from "./recognizer.mjs";

const USAGE = "usage: node main.mjs BUNDLE IMAGE.npy | BUNDLE --golden   [--threads N]";

async function main() {
  const options = { golden: { type: "boolean" }, threads: { type: "string" } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length !== (values.golden ? 1 : 2)) throw new Error(USAGE);
  const recognizer = await Recognizer.open(openBundle(positionals[0]), Number(values.threads ?? 0));
  if (!values.golden) {
    const image = readNpy(positionals[1]);
    if (image.type !== "uint8" || image.shape.length !== 3 || image.shape[2] !== 3 || image.data.length === 0) {
      throw new Error(`${positionals[1]}: ${image.type} (${image.shape}); expected uint8 (H, W, 3)`);
    }
    console.log(JSON.stringify(await recognizer.recognize(image)));
    return 0;
  }
  const checks = await checkGolden(recognizer);
  for (const { name, faults, stages } of checks) {
    console.log(`${faults.length ? "FAILED" : "ok"}  golden sample ${name}: ${faults.join("; ") || `${stages.join(", ")} agree`}`);
  }
  return checks.some(({ faults }) => faults.length) ? 1 : 0;
}

main().then(
  (code) => { process.exitCode = code; },
  (fault) => {
    console.error(`facings example: ${fault.message}`);
    process.exitCode = 2;
  },
);
