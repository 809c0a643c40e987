import { spawn } from "node:child_process";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

/** Runs one of the project's own commands and answers what it printed; what it says on stderr goes to the person. */
export function command(
  name: "audit-pipeline" | "verify/verify",
  args: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(resolve(root, "hack", name), args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.once("error", fail);
    child.once("close", (code) =>
      code === 0 ? done(output) : fail(new Error(`${name} ${args.join(" ")} ended with ${code}\n${output}`)),
    );
  });
}
