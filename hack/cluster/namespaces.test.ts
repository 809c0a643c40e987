import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { identify, isRunning, type ProcessIdentity, waitForEnd } from "../servers/process.ts";

const base = mkdtempSync(join(tmpdir(), "namespaces-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const sweeping = `import { sweepCgroups } from ${JSON.stringify(join(import.meta.dirname, "cgroups.ts"))}; await sweepCgroups();`;
const entering = (dir: string, script: string) =>
  `import { inNamespaces } from ${JSON.stringify(join(import.meta.dirname, "namespaces.ts"))};
   process.exitCode = await inNamespaces(${JSON.stringify(dir)}, ["sh", "-c", ${JSON.stringify(script)}]);`;

/** As another process does it; `ended` answers the exit code, `output` what it printed. */
function start(program: string) {
  const args = ["--input-type=module-typescript", "-e", program];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { child, ended, output: () => output };
}

async function until<T>(find: () => T | undefined): Promise<T> {
  for (let round = 0; round < 400; round += 1) {
    const found = find();
    if (found !== undefined) return found;
    await delay(50);
  }
  throw new Error("Not seen within 20 s");
}

/** A process whose arguments have `marker`; by its number here, outside. */
function processWith(marker: string): ProcessIdentity | undefined {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(marker)) return identify(Number(pid));
    } catch {
      // Gone meanwhile.
    }
  }
  return undefined;
}

const cgroupsOf = (pid: number | undefined) =>
  readdirSync("/sys/fs/cgroup")
    .flatMap((name) => [join("/sys/fs/cgroup", name), "/sys/fs/cgroup"])
    .filter((folder) => existsSync(join(folder, "cgroup.procs")))
    .flatMap((folder) => readdirSync(folder).filter((name) => name.startsWith(`audit-pipeline-${pid}-`)));

/** Root, and of more than a container. */
const possible = spawnSync("unshare", ["--net", "--mount", "--pid", "--fork", "true"]).status === 0;

describe.runIf(possible)("namespaces of its own", { timeout: 60_000 }, () => {
  it("show a command its own network, processes and folders, and end what it leaves running", async () => {
    const dir = join(base, "ends");
    const look = "ip -br address show node0; echo first: $(cat /proc/1/comm); touch /var/lib/x-cluster /run/x-cluster";
    const { child, ended, output } = start(entering(dir, `${look}; setsid sleep 54321.1 & exit 7`));
    expect(await ended).toBe(7);
    expect(output()).toContain("10.88.0.1/24");
    expect(output()).toContain("first: init.sh");
    expect(existsSync("/var/lib/x-cluster") || existsSync("/run/x-cluster")).toBe(false);
    expect(processWith("54321.1")).toBeUndefined();
    expect(existsSync(dir)).toBe(false);
    expect(cgroupsOf(child.pid)).toEqual([]);
  });

  it("end in order when they are told to", async () => {
    const { child, ended, output } = start(
      entering(join(base, "told"), "trap 'echo told; exit 3' TERM; echo up; sleep 54321.2 & wait"),
    );
    await until(() => (output().includes("up") ? true : undefined));
    child.kill("SIGINT");
    expect(await ended).toBe(3);
    expect(output()).toContain("told");
  });

  it("end when whoever made them is killed, and leave only what the next start removes", async () => {
    const { child, ended } = start(entering(join(base, "killed"), "setsid sleep 54321.3 & sleep 54321.4"));
    const targets = [await until(() => processWith("54321.3")), await until(() => processWith("54321.4"))];
    child.kill("SIGKILL");
    await ended;
    for (const target of targets) expect(await waitForEnd(target, 10_000)).toBe(true);
    expect(targets.some(isRunning)).toBe(false);
    expect(cgroupsOf(child.pid)).not.toEqual([]);
    expect(await start(sweeping).ended).toBe(0);
    expect(cgroupsOf(child.pid)).toEqual([]);
  });
});
