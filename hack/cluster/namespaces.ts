import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { childrenOf, identify, signal } from "../servers/process.ts";
import { removeLater, sweep } from "../servers/registry.ts";
import { cgroupOf, makeCgroup, removeCgroup, sweepCgroups } from "./cgroups.ts";

const init = join(import.meta.dirname, "init.sh");

/** Where, inside, everything that a cluster makes lies; and the control group of its pods. */
export const CLUSTER_DIR = "CLUSTER_DIR";
export const CLUSTER_CGROUP = "CLUSTER_CGROUP";

/**
 * Runs a command, and all it starts, in namespaces of its own for network, processes and mounts; answers its exit code.
 * When it ends, or this process does (SIGKILL included), the kernel ends what is left there. `dir` is removed.
 *
 * @param onStart is told the process whose namespaces they are: the child of it is the first process inside
 */
export async function inNamespaces(
  dir: string,
  command: readonly string[],
  onStart: (pid: number) => void = () => undefined,
): Promise<number> {
  sweep();
  await sweepCgroups();
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const keep = removeLater([dir]);
  const identity = identify(process.pid);
  if (identity === undefined) throw new Error("Cannot read this process's own start time");
  const cgroup = cgroupOf(identity);
  makeCgroup(cgroup);
  try {
    return await unshared(dir, cgroup, command, onStart);
  } finally {
    await removeCgroup(cgroup);
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
    keep();
  }
}

/** `--pdeathsig` and `--kill-child`: each dies with its parent, whatever ended that. */
function unshared(
  dir: string,
  cgroup: string,
  command: readonly string[],
  onStart: (pid: number) => void,
): Promise<number> {
  const unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...unshare, init, dir, ...command], {
    stdio: "inherit",
    // Servers inside keep their records with the rest: process ids are others there.
    env: { ...process.env, [CLUSTER_DIR]: dir, [CLUSTER_CGROUP]: cgroup, SERVERS_STATE: join(dir, "servers") },
    // A process group of its own, so that a terminal's Ctrl-C comes once, from us.
    detached: true,
  });
  if (child.pid !== undefined) onStart(child.pid);
  let told = false;
  const forward = () => {
    // Whoever says it twice means now.
    if (told) child.kill("SIGKILL");
    told = true;
    // unshare itself ignores it while it waits; the first process inside hands it on.
    for (const inside of child.pid === undefined ? [] : childrenOf(child.pid)) signal(inside, "SIGTERM");
  };
  const names = ["SIGINT", "SIGTERM"] as const;
  for (const name of names) process.on(name, forward);
  return new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 137));
  }).finally(() => {
    for (const name of names) process.off(name, forward);
  });
}
