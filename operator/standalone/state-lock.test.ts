import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { processStart } from "./processes.ts";
import { LockedError, lockHolder, lockState } from "./state-lock.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "lock-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const boot = async () => (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
const leave = async (holder: object, name = "lock") => writeFile(join(dir, name), JSON.stringify(holder));

describe("lockState", () => {
  test("a held folder is refused with the pid of its holder, and free again after the release", async () => {
    const release = await lockState(dir);
    await expect(lockState(dir)).rejects.toThrow(new RegExp(`in use by process ${process.pid}`));
    expect(await lockHolder(dir)).toBe(process.pid);
    await release();
    expect(await lockHolder(dir)).toBeUndefined();
    await (await lockState(dir))();
  });

  test.for([
    { name: "its lock", left: ["lock"] },
    { name: "its lock and a taking over begun", left: ["lock", "lock.takeover"] },
  ])("of many that come at once exactly one gets it, also when a dead one left $name", async ({ left }) => {
    for (let round = 0; round < 20; round += 1) {
      for (const name of left) await leave({ pid: 1, start: "0", boot: await boot() }, name);
      const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockState(dir)));
      const won = results.filter((result) => result.status === "fulfilled");
      expect(won).toHaveLength(1);
      for (const result of results) if (result.status === "rejected") expect(result.reason).toBeInstanceOf(LockedError);
      await won[0]?.value();
      expect(await readdir(dir)).toEqual([]);
    }
  });

  test("the lock of a killed process is taken over", async () => {
    const other = spawn("sleep", ["60"]);
    const start = await processStart(other.pid ?? 0);
    await leave({ pid: other.pid, start, boot: await boot() });
    await expect(lockState(dir)).rejects.toThrow(LockedError);
    other.kill("SIGKILL");
    await once(other, "exit");
    await (await lockState(dir))();
  });

  test.for([
    {
      name: "a pid that now belongs to another process",
      holder: async () => ({ pid: process.pid, start: "1", boot: await boot() }),
    },
    {
      name: "a lock from before a reboot",
      holder: async () => ({ pid: process.pid, start: await processStart(process.pid), boot: "x" }),
    },
    { name: "a lock that cannot be read", holder: async () => ({}) },
  ])("$name does not hold the folder", async ({ holder }) => {
    await leave(await holder());
    await (await lockState(dir))();
  });
});
