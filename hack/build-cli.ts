import { join, resolve } from "node:path";
import { writeCli } from "./cli/bundle.ts";

/** `make cli` */
const folder = resolve(import.meta.dirname, "../dist");
const commands = await writeCli(folder);
console.log(`${commands.join("\n")}\nTo use them, kubectl audit-pipeline too: PATH=${join(folder, "bin")}:$PATH`);
