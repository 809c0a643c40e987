import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import {
  AlreadyExistsError,
  ConflictError,
  type Draft,
  type KubeObject,
  NotFoundError,
  type ObjectStore,
  type WatchEvent,
} from "../../operator/runtime/object-store.ts";

type ConfigMap = KubeObject & { data?: Record<string, string> };
type Workload = KubeObject & { spec: Record<string, unknown>; status?: Record<string, unknown> };

export interface ObjectStoreUnderTest {
  store: ObjectStore;
  /** A namespace that no other test uses. */
  namespace: string;
}

/**
 * What every ObjectStore promises the controllers. Run on the embedded store and on an API server: only what both do
 * alike stands here. `factory` is called for each test and cleans up after itself.
 */
export function objectStoreContract(name: string, factory: () => Promise<ObjectStoreUnderTest>): void {
  const configMap = (namespace: string, over: Partial<Draft<ConfigMap>> = {}): Draft<ConfigMap> => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "settings", namespace },
    data: { a: "1" },
    ...over,
  });
  const ref = (namespace: string, kind = "ConfigMap", of = "settings") => ({ kind, namespace, name: of });
  const workload = (namespace: string, env: unknown[], extra: object = {}) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "worker", namespace },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: "worker" } },
      template: {
        metadata: { labels: { app: "worker" } },
        spec: { containers: [{ name: "main", image: "worker:1", env, ...extra }] },
      },
    },
  });
  const manager = { fieldManager: "contract" };

  describe(`${name}: create, get, list`, () => {
    test("what is created can be read, with uid, version and creation time", async () => {
      const { store, namespace } = await factory();
      const created = await store.create<ConfigMap>(configMap(namespace));
      expect(created.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
      expect(created.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      expect(created.metadata.resourceVersion).not.toBe("");
      const found = await store.get<ConfigMap>(ref(namespace));
      expect(found?.data).toEqual({ a: "1" });
      expect(found?.metadata).toMatchObject({ uid: created.metadata.uid });
    });

    test("a second create of the same name is refused", async () => {
      const { store, namespace } = await factory();
      await store.create<ConfigMap>(configMap(namespace));
      await expect(store.create<ConfigMap>(configMap(namespace))).rejects.toThrow(AlreadyExistsError);
    });

    test("what is not there is undefined, and an empty list", async () => {
      const { store, namespace } = await factory();
      expect(await store.get(ref(namespace))).toBeUndefined();
      expect((await store.list("ConfigMap", { namespace, labels: { none: "such" } })).items).toEqual([]);
    });

    test("a list is limited to namespace and labels", async () => {
      const { store, namespace } = await factory();
      await store.create<ConfigMap>(
        configMap(namespace, { metadata: { name: "one", namespace, labels: { app: "x" } } }),
      );
      await store.create<ConfigMap>(
        configMap(namespace, { metadata: { name: "two", namespace, labels: { app: "y" } } }),
      );
      const { items } = await store.list("ConfigMap", { namespace, labels: { app: "y" } });
      expect(items.map(({ metadata }) => metadata.name)).toEqual(["two"]);
    });

    test("changing an object that was read does not change what is stored", async () => {
      const { store, namespace } = await factory();
      await store.create<ConfigMap>(configMap(namespace));
      const read = await store.get<ConfigMap>(ref(namespace));
      if (read?.data) read.data["a"] = "changed";
      expect((await store.get<ConfigMap>(ref(namespace)))?.data).toEqual({ a: "1" });
    });
  });

  describe(`${name}: update`, () => {
    test("a write on a stale version is refused", async () => {
      const { store, namespace } = await factory();
      const first = await store.create<ConfigMap>(configMap(namespace));
      await store.update<ConfigMap>({ ...first, data: { a: "2" } });
      await expect(store.update<ConfigMap>({ ...first, data: { a: "3" } })).rejects.toThrow(ConflictError);
      expect((await store.get<ConfigMap>(ref(namespace)))?.data).toEqual({ a: "2" });
    });

    test("of two writers on one version exactly one wins", async () => {
      const { store, namespace } = await factory();
      const first = await store.create<ConfigMap>(configMap(namespace));
      const writes = ["2", "3", "4"].map((a) => store.update<ConfigMap>({ ...first, data: { a } }));
      const results = await Promise.allSettled(writes);
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    });

    test("an update of what is gone is NotFound", async () => {
      const { store, namespace } = await factory();
      const first = await store.create<ConfigMap>(configMap(namespace));
      await store.delete(ref(namespace));
      await expect(store.update<ConfigMap>({ ...first, data: {} })).rejects.toThrow(NotFoundError);
    });

    test("an update leaves the status as it is", async () => {
      const { store, namespace } = await factory();
      await store.apply(workload(namespace, []), manager);
      const withStatus = await store.patchStatus<Workload>(ref(namespace, "Deployment", "worker"), { replicas: 3 });
      const updated = await store.update<Workload>({
        ...withStatus,
        spec: { ...withStatus.spec, replicas: 2 },
        status: { replicas: 9 },
      });
      expect(updated.status).toMatchObject({ replicas: 3 });
      expect(updated.spec).toMatchObject({ replicas: 2 });
    });
  });

  describe(`${name}: generation`, () => {
    test("moves when the spec changes, not on labels and not on status", async () => {
      const { store, namespace } = await factory();
      const first = await store.apply<Workload>(workload(namespace, []), manager);
      const at = ref(namespace, "Deployment", "worker");
      const labelled = await store.update<Workload>({ ...first, metadata: { ...first.metadata, labels: { a: "b" } } });
      expect(labelled.metadata.generation).toBe(first.metadata.generation);
      const reported = await store.patchStatus<Workload>(at, { replicas: 1 });
      expect(reported.metadata.generation).toBe(first.metadata.generation);
      expect(reported.metadata.resourceVersion).not.toBe(labelled.metadata.resourceVersion);
      const scaled = await store.update<Workload>({ ...reported, spec: { ...reported.spec, replicas: 2 } });
      expect(scaled.metadata.generation).toBe(first.metadata.generation + 1);
    });
  });

  describe(`${name}: apply`, () => {
    const envOf = (object: Workload) =>
      (object.spec["template"] as { spec: { containers: { env?: unknown[] }[] } }).spec.containers[0]?.env;

    test("creates what is missing", async () => {
      const { store, namespace } = await factory();
      const applied = await store.apply<ConfigMap>({ ...configMap(namespace) }, manager);
      expect(applied.data).toEqual({ a: "1" });
      expect(applied.metadata.uid).not.toBe("");
    });

    test("applied again without a difference writes nothing", async () => {
      const { store, namespace } = await factory();
      const first = await store.apply(workload(namespace, [{ name: "A", value: "1" }]), manager);
      const again = await store.apply(workload(namespace, [{ name: "A", value: "1" }]), manager);
      expect(again.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
      expect(again.metadata.generation).toBe(first.metadata.generation);
    });

    test("what is no longer stated is removed", async () => {
      const { store, namespace } = await factory();
      await store.apply({ ...configMap(namespace, { data: { a: "1", b: "2" } }) }, manager);
      const applied = await store.apply<ConfigMap>({ ...configMap(namespace, { data: { a: "1" } }) }, manager);
      expect(applied.data).toEqual({ a: "1" });
    });

    test("env merges by name: one is changed, one removed, the others stay", async () => {
      const { store, namespace } = await factory();
      const before = [
        { name: "A", value: "1" },
        { name: "B", value: "2" },
        { name: "C", value: "3" },
      ];
      await store.apply(workload(namespace, before), manager);
      const after = [
        { name: "A", value: "9" },
        { name: "C", value: "3" },
      ];
      const applied = await store.apply<Workload>(workload(namespace, after), manager);
      expect(envOf(applied)).toEqual(after);
    });

    test("what others added to labels and annotations stays", async () => {
      const { store, namespace } = await factory();
      const stated = configMap(namespace, { metadata: { name: "settings", namespace, labels: { ours: "1" } } });
      const first = await store.apply<ConfigMap>({ ...stated }, manager);
      const labels = { ...first.metadata.labels, theirs: "2" };
      const annotations = { note: "by hand" };
      await store.update<ConfigMap>({ ...first, metadata: { ...first.metadata, labels, annotations } });
      const applied = await store.apply<ConfigMap>({ ...configMap(namespace, { data: { a: "2" } }) }, manager);
      expect(applied.metadata.labels).toEqual({ theirs: "2" });
      expect(applied.metadata.annotations).toEqual({ note: "by hand" });
      expect(applied.data).toEqual({ a: "2" });
    });

    test("a second field manager is refused", async () => {
      const { store, namespace } = await factory();
      await store.apply({ ...configMap(namespace) }, manager);
      const other = store.apply({ ...configMap(namespace, { data: { a: "2" } }) }, { fieldManager: "somebody-else" });
      await expect(other).rejects.toThrow(ConflictError);
      expect((await store.get<ConfigMap>(ref(namespace)))?.data).toEqual({ a: "1" });
    });

    test("with the uid of an object that was made anew it is refused", async () => {
      const { store, namespace } = await factory();
      const first = await store.apply<ConfigMap>({ ...configMap(namespace) }, manager);
      await store.delete(ref(namespace));
      await store.apply({ ...configMap(namespace) }, manager);
      const metadata = { name: "settings", namespace, uid: first.metadata.uid };
      await expect(store.apply({ ...configMap(namespace, { metadata }) }, manager)).rejects.toThrow(ConflictError);
    });
  });

  describe(`${name}: status`, () => {
    test("is replaced apart from the spec, and conditional when a version is given", async () => {
      const { store, namespace } = await factory();
      const first = await store.apply<Workload>(workload(namespace, []), manager);
      const at = ref(namespace, "Deployment", "worker");
      const { resourceVersion } = first.metadata;
      const written = await store.patchStatus<Workload>(at, { replicas: 1 }, { resourceVersion });
      expect(written.spec).toEqual(first.spec);
      expect(written.status).toMatchObject({ replicas: 1 });
      await expect(store.patchStatus(at, { replicas: 2 }, { resourceVersion })).rejects.toThrow(ConflictError);
    });

    test("the same status again writes nothing", async () => {
      const { store, namespace } = await factory();
      await store.apply<Workload>(workload(namespace, []), manager);
      const at = ref(namespace, "Deployment", "worker");
      const first = await store.patchStatus<Workload>(at, { replicas: 1 });
      const again = await store.patchStatus<Workload>(at, { replicas: 1 });
      expect(again.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    });

    test("apply neither sets nor removes it", async () => {
      const { store, namespace } = await factory();
      await store.apply(workload(namespace, []), manager);
      await store.patchStatus(ref(namespace, "Deployment", "worker"), { replicas: 1 });
      const applied = await store.apply<Workload>(workload(namespace, [{ name: "A", value: "1" }]), manager);
      expect(applied.status).toMatchObject({ replicas: 1 });
    });

    test("of what is gone is NotFound", async () => {
      const { store, namespace } = await factory();
      await expect(store.patchStatus(ref(namespace, "Deployment", "worker"), {})).rejects.toThrow(NotFoundError);
    });
  });

  describe(`${name}: delete`, () => {
    const held = (namespace: string) =>
      configMap(namespace, { metadata: { name: "settings", namespace, finalizers: ["example.io/hold"] } });

    test("what has no finalizer is gone at once, and a second delete succeeds", async () => {
      const { store, namespace } = await factory();
      await store.create<ConfigMap>(configMap(namespace));
      await store.delete(ref(namespace));
      expect(await store.get(ref(namespace))).toBeUndefined();
      await store.delete(ref(namespace));
    });

    test("with finalizers it waits, and goes when the last is taken off", async () => {
      const { store, namespace } = await factory();
      await store.create<ConfigMap>(held(namespace));
      await store.delete(ref(namespace));
      const waiting = await store.get<ConfigMap>(ref(namespace));
      expect(waiting?.metadata.deletionTimestamp).toMatch(/Z$/);
      if (waiting === undefined) return;
      await store.update<ConfigMap>({ ...waiting, metadata: { ...waiting.metadata, finalizers: [] } });
      expect(await store.get(ref(namespace))).toBeUndefined();
    });

    test("a second delete of what waits changes nothing", async () => {
      const { store, namespace } = await factory();
      await store.create<ConfigMap>(held(namespace));
      await store.delete(ref(namespace));
      const first = await store.get(ref(namespace));
      await store.delete(ref(namespace));
      const second = await store.get(ref(namespace));
      expect(second?.metadata.deletionTimestamp).toBe(first?.metadata.deletionTimestamp);
      if (second) await store.update({ ...second, metadata: { ...second.metadata, finalizers: [] } });
    });

    test("with another uid or a stale version it is refused", async () => {
      const { store, namespace } = await factory();
      const first = await store.create<ConfigMap>(configMap(namespace));
      await store.update<ConfigMap>({ ...first, data: { a: "2" } });
      const { resourceVersion } = first.metadata;
      await expect(store.delete(ref(namespace), { resourceVersion })).rejects.toThrow(ConflictError);
      const uid = "00000000-0000-4000-8000-000000000000";
      await expect(store.delete(ref(namespace), { uid })).rejects.toThrow(ConflictError);
      expect(await store.get(ref(namespace))).toBeDefined();
    });

    test("what an object owned goes with it, what has another owner stays", async () => {
      const { store, namespace } = await factory();
      const owner = await store.create<ConfigMap>(configMap(namespace, { metadata: { name: "owner", namespace } }));
      const other = await store.create<ConfigMap>(configMap(namespace, { metadata: { name: "other", namespace } }));
      const reference = ({ metadata: { name: of, uid } }: ConfigMap) => ({
        ...{ apiVersion: "v1", kind: "ConfigMap", name: of, uid },
      });
      const owned = (of: string, owners: ConfigMap[]) =>
        configMap(namespace, { metadata: { name: of, namespace, ownerReferences: owners.map(reference) } });
      await store.create<ConfigMap>(owned("single", [owner]));
      await store.create<ConfigMap>(owned("shared", [owner, other]));
      // What the making of an owned object set off has ended: from here on only the deletion can collect anything.
      await delay(200);
      await store.delete(ref(namespace, "ConfigMap", "owner"));
      await expect.poll(() => store.get(ref(namespace, "ConfigMap", "single")), { timeout: 30_000 }).toBeUndefined();
      expect(await store.get(ref(namespace, "ConfigMap", "shared"))).toBeDefined();
    });
  });

  describe(`${name}: watch`, () => {
    const follow = async (
      store: ObjectStore,
      namespace: string,
      resourceVersion: string,
      enough: (events: WatchEvent[]) => boolean,
    ) => {
      const events: WatchEvent[] = [];
      const signal = AbortSignal.timeout(20_000);
      const stop = new AbortController();
      for await (const event of store.watch("ConfigMap", {
        resourceVersion,
        signal: AbortSignal.any([signal, stop.signal]),
      })) {
        if (event.type === "Bookmark" || event.object.metadata.namespace !== namespace) continue;
        events.push(event);
        if (enough(events)) stop.abort();
      }
      return events.map((event) => (event.type === "Bookmark" ? "" : `${event.type} ${event.object.metadata.name}`));
    };

    test("delivers each change once and in order, from after the version given", async () => {
      const { store, namespace } = await factory();
      await store.create<ConfigMap>(configMap(namespace, { metadata: { name: "before", namespace } }));
      const { resourceVersion } = await store.list("ConfigMap", { namespace });
      const watching = follow(store, namespace, resourceVersion, (events) => events.length === 4);
      const one = await store.create<ConfigMap>(configMap(namespace, { metadata: { name: "one", namespace } }));
      await store.update<ConfigMap>({ ...one, data: { a: "2" } });
      await store.create<ConfigMap>(configMap(namespace, { metadata: { name: "two", namespace } }));
      await store.delete(ref(namespace, "ConfigMap", "one"));
      expect(await watching).toEqual(["Added one", "Modified one", "Added two", "Deleted one"]);
    });

    test("a change between list and watch is not missed", async () => {
      const { store, namespace } = await factory();
      const { resourceVersion } = await store.list("ConfigMap", { namespace });
      await store.create<ConfigMap>(configMap(namespace));
      expect(await follow(store, namespace, resourceVersion, () => true)).toEqual(["Added settings"]);
    });

    test("ends when aborted", async () => {
      const { store } = await factory();
      const { resourceVersion } = await store.list("ConfigMap");
      const signal = AbortSignal.timeout(100);
      for await (const _ of store.watch("ConfigMap", { resourceVersion, signal }));
      expect(signal.aborted).toBe(true);
    });
  });

  describe(`${name}: events`, () => {
    test("the same event again is counted, not kept twice", async () => {
      const { store, namespace } = await factory();
      const { metadata } = await store.create<ConfigMap>(configMap(namespace));
      const event = {
        regarding: { kind: "ConfigMap", namespace, name: metadata.name, uid: metadata.uid },
        type: "Normal" as const,
        reason: "Tested",
        action: "Test",
        note: "Saw it",
      };
      await store.recordEvent(event);
      await store.recordEvent(event);
      const { items } = await store.list<KubeObject & { reason: string; series?: { count: number } }>("Event", {
        namespace,
      });
      const tested = items.filter(({ reason }) => reason === "Tested");
      expect(tested).toHaveLength(1);
      expect(tested[0]?.series?.count).toBe(2);
    });
  });
}
