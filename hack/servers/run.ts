import { spawn } from "node:child_process";

/** Runs a command to its end; on failure throws with the last of what it printed. */
export function run(
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; uid?: number; gid?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const collect = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.once("error", (error) => reject(new Error(`Cannot run ${command}: ${error.message}`, { cause: error })));
    child.once("close", (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${command} ended with ${code}:\n${output.trimEnd().split("\n").slice(-20).join("\n")}`));
    });
  });
}

/** Says what is going on, and again every few seconds, so that a long step is never mistaken for a hang. */
export async function withProgress<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = Date.now();
  const seconds = () => Math.round((Date.now() - start) / 1000);
  process.stderr.write(`${what} ...\n`);
  const timer = setInterval(() => process.stderr.write(`${what} ... ${seconds()} s\n`), 5_000);
  try {
    const result = await work();
    process.stderr.write(`${what}: done in ${seconds()} s\n`);
    return result;
  } finally {
    clearInterval(timer);
  }
}
