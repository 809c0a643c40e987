import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { objectStoreContract } from "../../test/contract/object-store.contract.ts";
import { GoneError, InvalidError, type KubeObject } from "../runtime/object-store.ts";
import { type EmbeddedStore, openStore, type StoreOptions } from "./embedded-store.ts";

const folders: string[] = [];
const folder = async () => {
  const dir = await mkdtemp(join(tmpdir(), "store-"));
  folders.push(dir);
  return dir;
};
const open = async (over: Partial<StoreOptions> = {}) => openStore({ dir: await folder(), ...over });
afterAll(() => Promise.all(folders.map((dir) => rm(dir, { recursive: true, force: true }))));

objectStoreContract("embedded store", async () => ({ store: await open(), namespace: "team-a" }));

type Secret = KubeObject & { data: Record<string, string> };
const secret = (name = "login", over: object = {}) => ({
  ...{ apiVersion: "v1", kind: "Secret", metadata: { name, namespace: "team-a" } },
  ...{ stringData: { password: "p" }, ...over },
});
const put = (store: EmbeddedStore, object: object) => store.create(object as Parameters<EmbeddedStore["create"]>[0]);
const ref = { kind: "Secret", namespace: "team-a", name: "login" };

describe("embedded store: the folder", () => {
  test("holds everything after it is closed and opened again, under versions that only grow", async () => {
    const dir = await folder();
    const store = await openStore({ dir });
    const first = await put(store, secret());
    await store.delete({ ...ref });
    const second = await put(store, secret());
    await store.delete(ref);
    await put(store, secret("other"));
    await store.close();

    const again = await openStore({ dir });
    expect((await again.list("Secret")).items.map(({ metadata }) => metadata.name)).toEqual(["other"]);
    const third = await put(again, secret());
    const versions = [first, second, third].map(({ metadata }) => Number(metadata.resourceVersion));
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    expect(new Set(versions).size).toBe(3);
  });

  test("what was applied is remembered, so that a restart still removes what is no longer stated", async () => {
    const dir = await folder();
    const manager = { fieldManager: "m" };
    await (await openStore({ dir })).apply(secret("login", { stringData: { a: "1", b: "2" } }), manager);
    const again = await openStore({ dir });
    const applied = await again.apply<Secret>(secret("login", { stringData: { a: "1" } }), manager);
    expect(Object.keys(applied.data)).toEqual(["a"]);
  });

  test("a draft that a crash left behind is no object", async () => {
    const dir = await folder();
    await put(await openStore({ dir }), secret());
    await writeFile(join(dir, "objects", "Secret", "team-a", ".123.tmp"), '{"object":');
    expect((await (await openStore({ dir })).list("Secret")).items).toHaveLength(1);
  });

  test("what an owner left behind in a crash is collected at the next start", async () => {
    const dir = await folder();
    const store = await openStore({ dir });
    const owner = await put(store, secret("owner"));
    const { uid, name } = owner.metadata;
    const ownerReferences = [{ apiVersion: "v1", kind: "Secret", name, uid }];
    await put(store, secret("owned", { metadata: { name: "owned", namespace: "team-a", ownerReferences } }));
    await store.close();
    await rm(join(dir, "objects", "Secret", "team-a", "owner.json"));
    expect((await (await openStore({ dir })).list("Secret")).items).toEqual([]);
  });

  test("is readable by the owner alone", async () => {
    const dir = await folder();
    await put(await openStore({ dir }), secret());
    const inside = join(dir, "objects", "Secret", "team-a");
    expect((await stat(join(inside, "login.json"))).mode & 0o777).toBe(0o600);
    expect((await stat(inside)).mode & 0o777).toBe(0o700);
  });

  test("keeps names of the greatest length apart", async () => {
    const dir = await folder();
    const store = await openStore({ dir });
    const [one, two] = [`${"a".repeat(252)}b`, `${"a".repeat(252)}c`];
    await put(store, secret(one));
    await put(store, secret(two));
    await store.close();
    expect(await readdir(join(dir, "objects", "Secret", "team-a"))).toHaveLength(2);
    expect((await (await openStore({ dir })).list("Secret")).items).toHaveLength(2);
  });
});

describe("embedded store: what it refuses", () => {
  test.for([
    { name: "a kind it does not keep", object: secret("x", { kind: "Job" }) },
    { name: "another version of a kind", object: secret("x", { apiVersion: "v2" }) },
    { name: "a name that is a path", object: secret("../../etc") },
    { name: "a key that is a path", object: secret("x", { stringData: { "../x": "1" } }) },
    { name: "data that is not base64", object: secret("x", { stringData: undefined, data: { a: "pässword" } }) },
  ])("$name", async ({ object }) => {
    await expect(put(await open(), object)).rejects.toThrow(InvalidError);
  });

  test("what the admission given to it refuses, naming the field", async () => {
    const store = await open({
      admit: (object) => {
        if (object.metadata.name === "bad") throw new InvalidError("no", [{ field: "spec.x", message: "no" }]);
        return object;
      },
    });
    await expect(put(store, secret("bad"))).rejects.toMatchObject({ causes: [{ field: "spec.x", message: "no" }] });
    expect((await store.list("Secret")).items).toEqual([]);
  });
});

describe("embedded store: watch", () => {
  test("a reader that falls behind what is kept is told so, instead of missing a change", async () => {
    const store = await open({ historySize: 3 });
    const { resourceVersion } = await store.list("Secret");
    for (const name of ["a", "b", "c", "d", "e"]) await put(store, secret(name));
    const watching = async () => {
      for await (const _ of store.watch("Secret", { resourceVersion, signal: AbortSignal.timeout(5_000) }));
    };
    await expect(watching()).rejects.toThrow(GoneError);
  });

  test("the defaults of the admission stay when the field that brought them is still stated", async () => {
    const store = await open({
      admit: (object) => ({ ...object, data: { defaulted: "eA==", ...(object as Secret).data } }) as Secret,
    });
    const manager = { fieldManager: "m" };
    const first = await store.apply<Secret>(secret(), manager);
    const again = await store.apply<Secret>(secret(), manager);
    expect(again.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    expect(Object.keys(again.data).toSorted()).toEqual(["defaulted", "password"]);
  });
});
