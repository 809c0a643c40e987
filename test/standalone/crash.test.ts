import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openStore } from "../../operator/standalone/embedded-store.ts";
import { readObjects } from "../../operator/standalone/object-files.ts";
import { findPods } from "../../operator/standalone/pod-process.ts";
import { processStart } from "../../operator/standalone/processes.ts";
import type { Deployment, Pod } from "../../operator/standalone/workload-types.ts";
import { startToys, toy } from "./toy.ts";

const operatorFile = fileURLToPath(new URL("toy-operator.ts", import.meta.url));
const kills = 20;

let dir: string;
/** Pods report to it that they found another process of themselves alive. */
let doubles: Server;
let seenDoubles = 0;
const doublesName = `toy-doubles-${process.pid}`;
const operators = new Set<ChildProcess>();

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "crash-"));
  seenDoubles = 0;
  doubles = createServer(() => (seenDoubles += 1)).listen(`\0${doublesName}`);
});
afterEach(async () => {
  for (const operator of operators) operator.kill("SIGKILL");
  // A clean stop takes down whatever pods are left.
  await (await startToys(dir)).stop();
  expect(await livePods()).toEqual([]);
  doubles.close();
  await rm(dir, { recursive: true, force: true });
});

function startOperator(): ChildProcess {
  const operator = spawn(process.execPath, [operatorFile, dir], { stdio: ["ignore", "pipe", "ignore"] });
  operators.add(operator);
  operator.once("exit", () => operators.delete(operator));
  return operator;
}

async function kill(operator: ChildProcess): Promise<void> {
  if (operator.exitCode !== null || operator.signalCode !== null) return;
  operator.kill("SIGKILL");
  await once(operator, "exit");
}

async function livePods() {
  const id = await readFile(join(dir, "id"), "utf8").catch(() => undefined);
  return id === undefined ? [] : findPods(id.trim());
}

/** Changes what is wanted, while no operator runs. */
async function want(replicas: number, value: string): Promise<void> {
  const store = await openStore({ dir });
  const data = { replicas: String(replicas), value, doubles: doublesName };
  await store.apply(toy("one", data), { fieldManager: "test" });
  await store.close();
}

/** As it is on disk: the operator may be running. */
async function read() {
  const objects = (await readObjects(dir)).map(({ object }) => object as unknown);
  return {
    deployment: (objects as Deployment[]).find(({ kind }) => kind === "Deployment"),
    pods: (objects as Pod[]).filter(({ kind }) => kind === "Pod"),
  };
}

describe("an operator killed with -9", () => {
  test(`at ${kills} random moments converges at the next start, and no pod ever runs twice`, async () => {
    for (let round = 0; round < kills; round += 1) {
      await want(1 + (round % 3), String(Math.floor(round / 4)));
      const operator = startOperator();
      await delay(150 + Math.random() * 1_500);
      await kill(operator);
      const uids = (await livePods()).map(({ uid }) => uid);
      expect(new Set(uids).size).toBe(uids.length);
    }
    await want(3, "last");
    const operator = startOperator();
    const converged = async () => (await read()).deployment?.status;
    await expect.poll(converged, { timeout: 60_000, interval: 500 }).toMatchObject({
      ...{ replicas: 3, updatedReplicas: 3, readyReplicas: 3 },
    });
    const { pods } = await read();
    const live = await livePods();
    expect(live.map(({ uid }) => uid).toSorted()).toEqual(pods.map(({ metadata }) => metadata.uid).toSorted());
    expect(seenDoubles).toBe(0);
    await kill(operator);
  }, 180_000);

  test("while it takes pods down takes the rest down at the next start", async () => {
    await want(3, "1");
    let operator = startOperator();
    const converged = async () => (await read()).deployment?.status?.readyReplicas;
    await expect.poll(converged, { timeout: 30_000, interval: 200 }).toBe(3);
    await kill(operator);
    const store = await openStore({ dir });
    await store.delete({ kind: "ConfigMap", namespace: "team-a", name: "one" });
    await store.close();
    for (let round = 0; round < 4; round += 1) {
      operator = startOperator();
      await delay(200 + Math.random() * 400);
      await kill(operator);
    }
    operator = startOperator();
    await expect.poll(async () => (await read()).pods, { timeout: 30_000, interval: 200 }).toEqual([]);
    expect([await livePods(), (await read()).deployment]).toEqual([[], undefined]);
    await kill(operator);
  });

  test("leaves its pods running, and the next operator takes the same processes over", async () => {
    await want(2, "1");
    const operator = startOperator();
    const converged = async () => (await read()).deployment?.status?.readyReplicas;
    await expect.poll(converged, { timeout: 30_000, interval: 200 }).toBe(2);
    await kill(operator);
    const before = (await livePods()).map(({ id }) => id);
    expect(before).toHaveLength(2);
    const next = startOperator();
    await once(next.stdout as NodeJS.ReadableStream, "data");
    await delay(2_500);
    expect((await livePods()).map(({ id }) => id)).toEqual(before);
    expect((await read()).pods.map(({ status }) => status?.containerStatuses[0]?.restartCount)).toEqual([0, 0]);
    await kill(next);
  });

  test("is not confused by a pid that meanwhile belongs to another process", async () => {
    await want(1, "1");
    const operator = startOperator();
    const converged = async () => (await read()).deployment?.status?.readyReplicas;
    await expect.poll(converged, { timeout: 30_000, interval: 200 }).toBe(1);
    await kill(operator);
    const [live] = await livePods();
    if (live === undefined) throw new Error("no pod");
    process.kill(live.id.pid, "SIGKILL");
    await expect.poll(() => processStart(live.id.pid)).toBeUndefined();

    // The pod's record now names a process that is somebody else's.
    const stranger = spawn("sleep", ["60"]);
    const start = (await processStart(stranger.pid ?? 0)) ?? "";
    const store = await openStore({ dir });
    const [pod] = (await store.list<Pod>("Pod")).items;
    const [container] = pod?.status?.containerStatuses ?? [];
    if (pod === undefined || container === undefined) throw new Error("no pod");
    for (const containerID of [
      `process://${stranger.pid}/${Number(start) - 1}`,
      `process://${stranger.pid}/${start}`,
    ]) {
      await store.patchStatus(
        { kind: "Pod", namespace: "team-a", name: pod.metadata.name },
        { ...pod.status, containerStatuses: [{ ...container, containerID }] },
      );
      const running = await startToys(dir);
      const status = async () => (await running.store.list<Pod>("Pod")).items[0]?.status?.containerStatuses[0];
      const others = expect.not.stringContaining(`//${stranger.pid}/`);
      await expect.poll(status, { timeout: 30_000 }).toMatchObject({ ready: true, containerID: others });
      await running.stop();
      expect(await processStart(stranger.pid ?? 0)).toBe(start);
    }
    stranger.kill("SIGKILL");
  });

  test("a SIGTERM ends the pods and exits with 0", async () => {
    await want(1, "1");
    const operator = startOperator();
    const converged = async () => (await read()).deployment?.status?.readyReplicas;
    await expect.poll(converged, { timeout: 30_000, interval: 200 }).toBe(1);
    operator.kill("SIGTERM");
    expect(await once(operator, "exit")).toEqual([0, null]);
    expect(await livePods()).toEqual([]);
  });
});
