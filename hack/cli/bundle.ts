import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { programs, writeApp } from "../images/bundle.ts";

/** The second is how kubectl finds `kubectl audit-pipeline`: dashes of the name are underscores in the file's. */
const names = ["audit-pipeline", "kubectl-audit_pipeline"];

/**
 * Writes the command line to `<folder>/bin`, with its code beside; answers the commands' paths. The folder may be moved,
 * and the commands linked to. Of the code only what a command needs is loaded, and compiled once for a user and version.
 */
export async function writeCli(folder: string): Promise<string[]> {
  const operator = programs.find(({ name }) => name === "operator");
  if (operator === undefined) throw new Error("There is no program named operator");
  rmSync(folder, { recursive: true, force: true });
  await writeApp(operator, folder);
  mkdirSync(join(folder, "bin"), { recursive: true });
  return names.map((name) => {
    const file = join(folder, "bin", name);
    writeFileSync(file, launcher);
    chmodSync(file, 0o755);
    return file;
  });
}

// Not in the temporary folder, where others could put code for us.
const launcher = `#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "audit-pipeline", "compiled"));
await import("../operator/bin/main.js");
`;
