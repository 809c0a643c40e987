import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { matrix } from "./sections.ts";

writeFileSync(resolve(import.meta.dirname, "../../docs/tenancy-matrix.md"), matrix);
