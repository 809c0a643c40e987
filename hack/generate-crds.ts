import { writeFile } from "node:fs/promises";
import { generatedFiles } from "./generated-api.ts";

/** Writes the CRDs and the pages made from the schemas. `make generate` runs it; `make verify` finds it forgotten. */
for (const [path, text] of Object.entries(generatedFiles())) {
  await writeFile(new URL(`../${path}`, import.meta.url), text);
}
