import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Standalone } from "../../operator/standalone/standalone.ts";
import type { Deployment, Pod } from "../../operator/standalone/workload-types.ts";
import { startToys, type Toy, toy } from "./toy.ts";

let dir: string;
let running: Standalone;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "runner-"));
  running = await startToys(dir);
});
afterEach(async () => {
  await running.stop();
  await rm(dir, { recursive: true, force: true });
});

const apply = (object: ReturnType<typeof toy>) => running.store.apply<Toy>(object, { fieldManager: "test" });
const deployment = (name: string) => running.store.get<Deployment>({ kind: "Deployment", namespace: "team-a", name });
const podsOf = async (app: string) => (await running.store.list<Pod>("Pod", { labels: { app } })).items;
const pidOf = ({ status }: Pod) => Number(status?.containerStatuses[0]?.containerID?.split("/")[2]);
const ready = (name: string) => async () => (await deployment(name))?.status?.readyReplicas;
const within = { timeout: 30_000, interval: 100 };

describe("runner", () => {
  test("starts a process per replica, ready when its probe answers, each at its own address", async () => {
    await apply(toy("one", { replicas: "2" }));
    await expect.poll(ready("one"), within).toBe(2);
    const pods = await podsOf("one");
    const addresses = pods.map(({ metadata }) => metadata.annotations?.["auditpipeline.io/admin-address"]);
    expect(new Set(addresses).size).toBe(2);
    for (const address of addresses) expect((await fetch(`http://${address}/healthz`)).status).toBe(200);
    expect((await deployment("one"))?.status?.conditions.map(({ reason }) => reason)).toEqual([
      "MinimumReplicasAvailable",
      "NewReplicaSetAvailable",
    ]);
  });

  test("rolls the pods of the changed Deployment, and no others", async () => {
    await apply(toy("one", { replicas: "2" }));
    await apply(toy("two"));
    await expect.poll(ready("one"), within).toBe(2);
    await expect.poll(ready("two"), within).toBe(1);
    const [before, others] = [await podsOf("one"), await podsOf("two")];

    await apply(toy("one", { replicas: "2", value: "2" }));
    await expect
      .poll(async () => (await deployment("one"))?.status, within)
      .toMatchObject({
        ...{ updatedReplicas: 2, readyReplicas: 2, replicas: 2, observedGeneration: 2 },
      });
    await expect.poll(async () => (await podsOf("one")).length, within).toBe(2);
    const names = new Set(before.map(({ metadata }) => metadata.name));
    expect((await podsOf("one")).filter(({ metadata }) => names.has(metadata.name))).toEqual([]);
    expect((await podsOf("two")).map(pidOf)).toEqual(others.map(pidOf));
  });

  test("a bad template does not stand in the way of its correction", async () => {
    await apply(toy("one", { behaviour: "crash" }));
    await expect.poll(async () => (await podsOf("one"))[0]?.status?.containerStatuses[0]?.restartCount, within).toBe(2);
    await apply(toy("one"));
    await expect.poll(ready("one"), within).toBe(1);
    await expect.poll(async () => (await podsOf("one")).length, within).toBe(1);
  });

  test("a process that exits is started again with back-off, and its exit is told", async () => {
    await apply(toy("one", { behaviour: "crash" }));
    const status = async () => (await podsOf("one"))[0]?.status?.containerStatuses[0];
    await expect.poll(status, within).toMatchObject({
      restartCount: 3,
      state: { waiting: { reason: "CrashLoopBackOff" } },
      lastState: { terminated: { exitCode: 3, reason: "Error" } },
    });
    expect(await ready("one")()).toBe(0);
  });

  test("a process killed by hand is replaced within the same pod", async () => {
    await apply(toy("one"));
    await expect.poll(ready("one"), within).toBe(1);
    const [before] = await podsOf("one");
    if (before === undefined) throw new Error("no pod");
    process.kill(pidOf(before), "SIGKILL");
    const status = async () => (await podsOf("one"))[0]?.status?.containerStatuses[0];
    await expect.poll(status, within).toMatchObject({
      ...{ ready: true, restartCount: 1, lastState: { terminated: { signal: "SIGKILL" } } },
    });
    const [after] = await podsOf("one");
    expect(after?.metadata.uid).toBe(before.metadata.uid);
  });

  test("a process that does not answer is running but not ready", async () => {
    await apply(toy("one", { behaviour: "unready" }));
    await expect
      .poll(async () => (await podsOf("one"))[0]?.status, within)
      .toMatchObject({
        ...{ phase: "Running", conditions: [{ type: "Ready", status: "False" }] },
      });
    const conditions = [{ type: "Available" }, { type: "Progressing", reason: "ReplicaSetUpdated" }];
    await expect
      .poll(async () => (await deployment("one"))?.status, within)
      .toMatchObject({
        ...{ readyReplicas: 0, unavailableReplicas: 1, conditions },
      });
  });

  test("a missing Secret holds the pod back with the reason, until it is there", async () => {
    await running.store.apply(
      {
        ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "needs", namespace: "team-a" } },
        spec: {
          template: {
            metadata: { labels: { app: "needs" } },
            spec: {
              containers: [
                {
                  ...{ name: "main", command: ["toy-pod"], args: ["serve"] },
                  env: [{ name: "VALUE", valueFrom: { secretKeyRef: { name: "login", key: "password" } } }],
                  volumeMounts: [{ name: "login", mountPath: "/etc/login" }],
                },
              ],
              volumes: [{ name: "login", secret: { secretName: "login" } }],
            },
          },
        },
      },
      { fieldManager: "test" },
    );
    const status = async () => (await podsOf("needs"))[0]?.status?.containerStatuses[0];
    await expect.poll(status, within).toMatchObject({
      state: { waiting: { reason: "CreateContainerConfigError", message: "Secret login does not exist" } },
    });
    await running.store.apply(
      {
        ...{ apiVersion: "v1", kind: "Secret", metadata: { name: "login", namespace: "team-a" } },
        stringData: { password: "p" },
      },
      { fieldManager: "test" },
    );
    await expect.poll(ready("needs"), within).toBe(1);
    const [pod] = await podsOf("needs");
    const folder = join(dir, "pods", pod?.metadata.uid ?? "");
    const file = join(folder, "volumes", "login", "password");
    expect(await readFile(file, "utf8")).toBe("p");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await expect.poll(() => readFile(join(folder, "log"), "utf8"), within).toContain("Started serve p");
  });

  test("scaling down and deleting end the processes, one that ignores SIGTERM too", async () => {
    await apply(toy("one", { replicas: "2", behaviour: "stubborn" }));
    await expect.poll(ready("one"), within).toBe(2);
    const pids = (await podsOf("one")).map(pidOf);
    await apply(toy("one", { replicas: "1", behaviour: "stubborn" }));
    await expect.poll(async () => (await podsOf("one")).length, within).toBe(1);
    await running.store.delete({ kind: "ConfigMap", namespace: "team-a", name: "one" });
    await expect.poll(async () => (await podsOf("one")).length, within).toBe(0);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });

  test("a command that is not known here is refused with those that are", async () => {
    await running.store.apply(
      {
        ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "shell", namespace: "team-a" } },
        spec: {
          template: { metadata: { labels: { app: "shell" } }, spec: { containers: [{ name: "m", command: ["sh"] }] } },
        },
      },
      { fieldManager: "test" },
    );
    const status = async () => (await podsOf("shell"))[0]?.status?.containerStatuses[0]?.state;
    await expect.poll(status, within).toMatchObject({
      waiting: { reason: "CreateContainerError", message: 'Command "sh" is not run here; allowed: toy-pod' },
    });
  });

  test("a clean stop ends every process and the next start brings the same pods back", async () => {
    await apply(toy("one", { replicas: "2" }));
    await expect.poll(ready("one"), within).toBe(2);
    const before = await podsOf("one");
    await running.stop();
    for (const pod of before) expect(() => process.kill(pidOf(pod), 0)).toThrow("ESRCH");
    running = await startToys(dir);
    await expect.poll(ready("one"), within).toBe(2);
    const after = await podsOf("one");
    expect(after.map(({ metadata }) => metadata.uid)).toEqual(before.map(({ metadata }) => metadata.uid));
    expect(after.map(({ status }) => status?.containerStatuses[0]?.restartCount)).toEqual([0, 0]);
  });

  test("a stop that is to leave the pods leaves them, and the next start finds them again", async () => {
    await apply(toy("one"));
    await expect.poll(ready("one"), within).toBe(1);
    const before = (await podsOf("one")).map(pidOf);
    await running.stop({ leavePods: true });
    for (const pid of before) expect(process.kill(pid, 0)).toBe(true);
    running = await startToys(dir);
    await expect.poll(ready("one"), within).toBe(1);
    expect((await podsOf("one")).map(pidOf)).toEqual(before);
    process.kill(before[0] ?? 0, "SIGKILL");
    const status = async () => (await podsOf("one"))[0]?.status?.containerStatuses[0];
    await expect.poll(status, within).toMatchObject({ ready: true, restartCount: 1 });
    expect((await status())?.lastState?.terminated.reason).toBe("Unknown");
  });

  test("a settled Deployment writes nothing", async () => {
    await apply(toy("one"));
    await expect.poll(ready("one"), within).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const { resourceVersion } = await running.store.list("Pod");
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect((await running.store.list("Pod")).resourceVersion).toBe(resourceVersion);
  });

  test("the folder is refused to a second operator, which is told whose it is", async () => {
    await expect(startToys(dir)).rejects.toThrow(`in use by process ${process.pid}`);
  });
});
