import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Registry } from "@prometheus-io/client";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { StalledError, WaitingError } from "../errors.ts";
import { type EmbeddedStore, openStore } from "../standalone/embedded-store.ts";
import type { Outcome, Reconciler, Tools } from "./controller.ts";
import { controllerMetrics } from "./metrics.ts";
import type { KubeObject } from "./object-store.ts";
import { type RunningController, type RunOptions, runController } from "./run-controller.ts";

type Thing = KubeObject & { data?: Record<string, string>; status?: ThingStatus };
interface ThingStatus {
  seen?: string;
  conditions?: { type: string; status: string; reason: string; message: string }[];
}

const finalizer = "example.io/thing";
const ref = { kind: "ConfigMap", namespace: "n", name: "one" };
const thing = (data: Record<string, string> = {}, annotations: Record<string, string> = {}) => ({
  ...{ apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "n", name: "one", annotations }, data },
});

let dir: string;
let store: EmbeddedStore;
let stop: AbortController;
let passes: string[];
let running: RunningController | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "controller-"));
  store = await openStore({ dir });
  stop = new AbortController();
  passes = [];
});
afterEach(async () => {
  stop.abort();
  await running?.stopped;
  await rm(dir, { recursive: true, force: true });
});

const ready = (status: string, reason: string): ThingStatus => ({
  conditions: [{ type: "Ready", status, reason, message: `It is ${reason}` }],
});

function run(over: Partial<Reconciler<Thing>> = {}, options: Partial<RunOptions> = {}) {
  const reconciler: Reconciler<Thing> = {
    ...{ kind: "ConfigMap", finalizer, interval: () => 60_000 },
    async reconcile({ data }) {
      passes.push(`reconcile ${data?.["v"] ?? ""}`);
      return {};
    },
    async finalize() {
      passes.push("finalize");
      return "done";
    },
    status: (_, { kind }) => ready(kind === "Reconciled" ? "True" : "False", kind),
    ...over,
  };
  running = runController(reconciler, {
    ...{ store, log: pino({ level: "silent" }), signal: stop.signal, pausedAnnotation: "example.io/paused" },
    ...{ backoff: { baseMs: 20, maxMs: 100 }, ...options },
  });
  return running;
}

const get = async () => store.get<Thing>(ref);
const apply = (...args: Parameters<typeof thing>) => store.apply<Thing>(thing(...args), { fieldManager: "test" });
const within = { timeout: 10_000, interval: 10 };
const quiet = () => delay(300);

describe("runController", () => {
  test("sets the finalizer before the first reconcile", async () => {
    const finalizers: unknown[] = [];
    run({
      async reconcile({ metadata }) {
        finalizers.push((await get())?.metadata.finalizers, metadata.finalizers);
        return {};
      },
    });
    await apply();
    await expect.poll(() => finalizers.slice(0, 2), within).toEqual([[finalizer], [finalizer]]);
  });

  test("once settled it neither runs nor writes; a status change wakes nothing, a label neither", async () => {
    run();
    await apply({ v: "1" });
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("True", "Reconciled"));
    await quiet();
    const before = passes.length;
    const { metadata } = await store.patchStatus<Thing>(ref, { seen: "by somebody else" });
    const current = await get();
    if (current) await store.update<Thing>({ ...current, metadata: { ...current.metadata, labels: { a: "b" } } });
    await quiet();
    expect(passes).toHaveLength(before);
    expect(Number((await get())?.metadata.resourceVersion)).toBe(Number(metadata.resourceVersion) + 1);
  });

  test("writes the status only when it differs", async () => {
    let writes = 0;
    const { patchStatus } = store;
    store.patchStatus = async (...args) => {
      writes += 1;
      return patchStatus.apply(store, args) as never;
    };
    run({ interval: () => 20 });
    await apply();
    await expect.poll(() => passes.length, within).toBeGreaterThan(6);
    expect(writes).toBe(1);
  });

  test("a change of the content is reconciled, and an annotation too", async () => {
    run();
    await apply({ v: "1" });
    await expect.poll(() => passes.at(-1), within).toBe("reconcile 1");
    await apply({ v: "2" });
    await expect.poll(() => passes.at(-1), within).toBe("reconcile 2");
    await quiet();
    const before = passes.length;
    await apply({ v: "2" }, { "example.io/reconcile-at": "now" });
    await expect.poll(() => passes.length, within).toBeGreaterThan(before);
  });

  test("a deletion finalizes and takes the finalizer off", async () => {
    run();
    await apply();
    await expect.poll(() => passes.length, within).toBeGreaterThan(0);
    await store.delete(ref);
    await expect.poll(get, within).toBeUndefined();
    expect(passes.at(-1)).toBe("finalize");
  });

  test("a finalize that cannot end keeps the resource and says so", async () => {
    let blocked = true;
    run({
      async finalize() {
        if (blocked) throw new WaitingError("InUse", "still used", { requeueAfterMs: 30 });
        return "done";
      },
    });
    await apply();
    await expect.poll(async () => (await get())?.metadata.finalizers, within).toEqual([finalizer]);
    await store.delete(ref);
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("False", "FinalizeBlocked"));
    blocked = false;
    await expect.poll(get, within).toBeUndefined();
  });

  test("a resource being deleted that never had the finalizer is left alone", async () => {
    await store.create({ ...thing(), metadata: { ...thing().metadata, finalizers: ["other.io/hold"] } });
    await store.delete(ref);
    run();
    await quiet();
    expect(passes).toEqual([]);
    expect((await get())?.metadata.finalizers).toEqual(["other.io/hold"]);
  });

  test("paused, nothing is reconciled until the annotation goes; a deletion goes on", async () => {
    run();
    await apply({}, { "example.io/paused": "true" });
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("False", "Paused"));
    await quiet();
    expect(passes).toEqual([]);
    await apply({});
    await expect.poll(() => passes.length, within).toBeGreaterThan(0);
    await apply({}, { "example.io/paused": "true" });
    await store.delete(ref);
    await expect.poll(get, within).toBeUndefined();
  });

  test.for([
    {
      name: "waiting: after its own time",
      error: () => new WaitingError("Down", "x", { requeueAfterMs: 20 }),
      again: true,
    },
    { name: "anything else: with back-off", error: () => new Error("boom"), again: true },
    { name: "stalled: not before the spec changes", error: () => new StalledError("Bad", "x"), again: false },
  ])("$name", async ({ error, again }) => {
    run({
      async reconcile({ data }): Promise<Outcome> {
        passes.push(data?.["v"] ?? "");
        if (data?.["v"] !== "good") throw error();
        return {};
      },
    });
    await apply({ v: "bad" });
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("False", "Failed"));
    await quiet();
    const settled = passes.length;
    await quiet();
    if (again) expect(passes.length).toBeGreaterThan(settled);
    else expect(passes).toHaveLength(settled);
    await apply({ v: "good" });
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("True", "Reconciled"));
  });

  test("a failing resource is tried less and less often", async () => {
    const times: number[] = [];
    run(
      {
        async reconcile(): Promise<Outcome> {
          times.push(performance.now());
          throw new Error("boom");
        },
      },
      { backoff: { baseMs: 100, maxMs: 10_000 } },
    );
    await apply();
    await expect.poll(() => times.length, within).toBeGreaterThan(5);
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(gaps.at(-1)).toBeGreaterThan(400);
  });

  test("one failing resource does not hold up another", async () => {
    run({
      async reconcile({ metadata }): Promise<Outcome> {
        if (metadata.name === "one") throw new Error("boom");
        passes.push(metadata.name);
        return {};
      },
    });
    await apply();
    await store.apply({ ...thing(), metadata: { namespace: "n", name: "two" } }, { fieldManager: "test" });
    await expect.poll(() => passes, within).toContain("two");
  });

  test("an intent saved in the middle of a pass is there after a crash, and the status at the end builds on it", async () => {
    let intent: unknown;
    const pass = async (_: Thing, tools: Tools<Thing>): Promise<Outcome> => {
      await tools.saveStatus({ seen: "intent" });
      intent ??= (await get())?.status;
      return {};
    };
    run({ reconcile: pass, status: ({ status }) => ({ ...status, conditions: [] }) });
    await apply();
    await expect.poll(async () => (await get())?.status, within).toEqual({ seen: "intent", conditions: [] });
    expect(intent).toEqual({ seen: "intent" });
  });

  test("a resource that changed during the pass keeps the change, and is looked at again", async () => {
    let first = true;
    run({
      async reconcile({ data }) {
        if (first) await apply({ v: "changed meanwhile" });
        first = false;
        passes.push(data?.["v"] ?? "");
        return {};
      },
    });
    await apply({ v: "1" });
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("True", "Reconciled"));
    expect((await get())?.data).toEqual({ v: "changed meanwhile" });
    expect(passes.at(-1)).toBe("changed meanwhile");
  });

  test("another owner's object in the way is a failure that the status tells, not something to be read again", async () => {
    const taken = { apiVersion: "v1", kind: "Secret", metadata: { namespace: "n", name: "taken" } };
    await store.apply(taken, { fieldManager: "somebody else" });
    let told: unknown;
    run({
      async reconcile() {
        await store.apply({ ...taken, data: {} }, { fieldManager: "test" });
        return {};
      },
      status: (_, result) => {
        told = result.kind === "Failed" ? result.error : undefined;
        return ready("False", result.kind);
      },
    });
    await apply();
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("False", "Failed"));
    expect(String(told)).toContain("Secret n/taken is managed by somebody else");
  });

  test("an event tells each change of Ready's reason, and only that", async () => {
    let fail = true;
    run({
      interval: () => 20,
      async reconcile(): Promise<Outcome> {
        passes.push("");
        if (fail) throw new WaitingError("Down", "x", { requeueAfterMs: 20 });
        return {};
      },
    });
    await apply();
    await expect.poll(() => passes.length, within).toBeGreaterThan(4);
    fail = false;
    await expect.poll(async () => (await get())?.status, within).toEqual(ready("True", "Reconciled"));
    const seen = async () => {
      const { items } = await store.list<KubeObject & { reason: string; type: string; series: { count: number } }>(
        "Event",
      );
      return items.map(({ reason, type, series }) => `${type} ${reason} ${series.count}`).toSorted();
    };
    await expect.poll(seen, within).toEqual(["Normal Reconciled 1", "Warning Failed 1"]);
  });

  test("another kind wakes what it maps to, also when it is deleted, and a mapping that throws harms nothing", async () => {
    run({
      watches: [
        {
          kind: "Secret",
          map: ({ metadata }) => {
            if (metadata.name === "bad") throw new Error("no owner");
            return [{ namespace: "n", name: metadata.name }];
          },
        },
      ],
    });
    await apply();
    await expect.poll(() => passes.length, within).toBeGreaterThan(0);
    await quiet();
    const secret = (name: string) => ({ apiVersion: "v1", kind: "Secret", metadata: { namespace: "n", name } });
    for (const step of [
      () =>
        store
          .apply(secret("bad"), { fieldManager: "test" })
          .then(() => store.apply(secret("one"), { fieldManager: "test" })),
      () => store.patchStatus({ kind: "Secret", namespace: "n", name: "one" }, { a: 1 }),
      () => store.delete({ kind: "Secret", namespace: "n", name: "one" }),
    ]) {
      const before = passes.length;
      await step();
      await expect.poll(() => passes.length, within).toBeGreaterThan(before);
      await quiet();
    }
  });

  test("background work wakes resources, and comes back after it fails", async () => {
    let starts = 0;
    run({
      async background({ wake, signal }) {
        starts += 1;
        if (starts === 1) throw new Error("boom");
        wake({ namespace: "n", name: "one" });
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    await apply();
    await expect.poll(() => starts, within).toBe(2);
    await expect.poll(() => passes.length, within).toBeGreaterThan(1);
  });

  describe("what single parts of a pass met", () => {
    const waiting = { kind: "Waiting", reason: "Down", message: "3 records left" } as const;
    const stalled = { kind: "Stalled", reason: "Bad", message: "not allowed" } as const;
    const failed = { kind: "Failed", reason: "Failed", message: "boom", error: new Error("boom") } as const;

    test("is logged once, and again when it is over or another", async () => {
      const lines: { msg: string; reason?: string }[] = [];
      const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
      let left = 100;
      let problems: Outcome["problems"] = [stalled];
      const reconcile = async (): Promise<Outcome> => {
        passes.push("");
        left -= 1;
        return { problems: [{ ...waiting, message: `${left} records left` }, ...(problems ?? [])] };
      };
      run({ interval: () => 10, reconcile }, { log });
      await apply();
      await expect.poll(() => passes.length, within).toBeGreaterThan(8);
      expect(lines.map(({ reason }) => reason)).toEqual(["Down", "Bad"]);
      problems = [failed];
      await expect.poll(() => lines.length, within).toBeGreaterThan(2);
      await quiet();
      expect(lines.slice(2).map(({ msg, reason }) => `${msg}: ${reason}`)).toEqual(["Reconcile failed: Failed"]);
    });

    test("is counted, and stands in a gauge until it is over", async () => {
      const registry = new Registry();
      let problems: Outcome["problems"] = [waiting, stalled];
      const reconcile = async (): Promise<Outcome> => ({ ...(problems && { problems }), requeueAfterMs: 20 });
      run({ reconcile }, { metrics: controllerMetrics(registry)("configmap", 4) });
      await apply();
      const text = () => registry.metrics();
      const labels = 'controller="configmap",kind="Stalled",reason="Bad"';
      const gauge = (value: number) => new RegExp(`^audit_pipeline_resource_problems\\{${labels}\\} ${value}$`, "m");
      await expect.poll(text, within).toMatch(gauge(1));
      expect(await text()).toMatch(new RegExp(`^audit_pipeline_reconcile_problems_total\\{${labels}\\} [1-9]`, "m"));
      expect(await text()).toMatch(
        /^controller_runtime_terminal_reconcile_errors_total\{controller="configmap"\} [1-9]/m,
      );
      problems = undefined;
      await expect.poll(text, within).toMatch(gauge(0));
    });

    test("does not let a back-off hold up a sibling's short wait", async () => {
      const reconcile = async (): Promise<Outcome> => {
        passes.push("");
        return { problems: [waiting, failed], requeueAfterMs: 20 };
      };
      run({ reconcile }, { backoff: { baseMs: 60_000, maxMs: 60_000 } });
      await apply();
      await expect.poll(() => passes.length, within).toBeGreaterThan(5);
    });
  });

  describe("a pass that takes too long", () => {
    test("is told to end, counts as failed, says why, and comes again", async () => {
      const lines: { level: number; message?: string }[] = [];
      const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
      const registry = new Registry();
      const metrics = controllerMetrics(registry)("configmap", 4);
      let told: unknown;
      run(
        {
          async reconcile(_, { signal }) {
            passes.push("");
            if (passes.length > 1) return {};
            await new Promise((_resolve, reject) =>
              signal.addEventListener("abort", () => reject(new Error("broken off"))),
            );
            return {};
          },
          status: (_, result) => {
            if (result.kind === "Failed") told = result.error;
            return ready(result.kind === "Reconciled" ? "True" : "False", result.kind);
          },
        },
        { passTimeoutMs: 100, log, metrics },
      );
      await apply();
      await expect.poll(async () => (await get())?.status, within).toEqual(ready("True", "Reconciled"));
      expect(String(told)).toContain("took longer than 0.1 s");
      expect(lines.filter(({ level }) => level === 50).map(({ message }) => message)).toEqual([
        expect.stringContaining("took longer than 0.1 s"),
      ]);
      expect(await registry.metrics()).toMatch(
        /^controller_runtime_reconcile_errors_total\{controller="configmap"\} 1$/m,
      );
    });

    test("keeps its key but not its worker when it does not listen, and holds up no stop", async () => {
      const controller = run(
        {
          async reconcile({ metadata }) {
            passes.push(metadata.name);
            if (metadata.name === "one") await new Promise(() => undefined);
            return {};
          },
        },
        { concurrency: 1, passTimeoutMs: 100 },
      );
      await apply();
      await expect.poll(() => passes, within).toEqual(["one"]);
      await store.apply({ ...thing(), metadata: { namespace: "n", name: "two" } }, { fieldManager: "test" });
      await expect.poll(() => passes, within).toContain("two");
      await apply({ v: "changed" });
      await quiet();
      expect(passes.filter((name) => name === "one")).toHaveLength(1);
      stop.abort();
      await controller.stopped;
    });
  });

  test("stops when told, after the pass that is going on", async () => {
    let ended = false;
    const controller = run({
      async reconcile(_, { signal }) {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await delay(50);
        ended = true;
        return {};
      },
    });
    await apply();
    await quiet();
    stop.abort();
    await controller.stopped;
    expect(ended).toBe(true);
  });

  test("reports itself under controller-runtime's names, and as alive and synced", async () => {
    const registry = new Registry();
    const controller = run({}, { metrics: controllerMetrics(registry)("configmap", 4) });
    await apply();
    await expect.poll(() => passes.length, within).toBeGreaterThan(0);
    await quiet();
    expect([controller.alive(), controller.synced()]).toEqual([true, true]);
    const text = await registry.metrics();
    for (const line of [
      /^controller_runtime_reconcile_total\{controller="configmap",result="requeue_after"\} [1-9]/m,
      /^controller_runtime_max_concurrent_reconciles\{controller="configmap"\} 4/m,
      /^controller_runtime_active_workers\{controller="configmap"\} 0/m,
      /^workqueue_depth\{name="configmap",controller="configmap"\} 0/m,
      /^audit_pipeline_watch_last_event_age_seconds\{controller="configmap",kind="ConfigMap"\} 0\./m,
    ]) {
      expect(text).toMatch(line);
    }
  });
});
