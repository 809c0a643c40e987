import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KubeObject } from "../runtime/object-store.ts";
import { admitResource } from "./admission.ts";
import { type EmbeddedStore, openStore } from "./embedded-store.ts";
import { followFolder, type ManifestFolder } from "./manifest-folder.ts";

type Topic = KubeObject & { spec: { partitions: number; deletionPolicy: string } };

let root: string;
let dir: string;
let store: EmbeddedStore;
let stop: AbortController;
let folder: ManifestFolder | undefined;
let logged: Record<string, unknown>[];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "manifests-"));
  dir = join(root, "m");
  await mkdir(dir);
  store = await openStore({ dir: join(root, "state"), admit: admitResource });
  logged = [];
});
afterEach(async () => {
  await end();
  await rm(root, { recursive: true, force: true });
});

async function begin(): Promise<void> {
  stop = new AbortController();
  const log = pino({ level: "info" }, { write: (line: string) => logged.push(JSON.parse(line) as never) });
  folder = await followFolder({ dir, store, log, signal: stop.signal });
}

async function end(): Promise<void> {
  stop?.abort();
  await folder?.stopped;
}

const topic = (name: string, partitions: number) =>
  `---\napiVersion: auditpipeline.io/v1alpha1\nkind: AuditTopic\nmetadata: {name: ${name}}\nspec: {partitions: ${partitions}}\n`;
const put = (file: string, text: string) => writeFile(join(dir, file), text);
const get = (name: string) => store.get<Topic>({ kind: "AuditTopic", namespace: "default", name });
const partitions = (name: string) => async () => (await get(name))?.spec.partitions;
const refusals = () => logged.filter(({ msg }) => msg === "Refused manifest");
const within = { timeout: 20_000, interval: 50 };

describe("followFolder", () => {
  test("applies what is there at the start and what comes, changes and goes later", async () => {
    await put("a.yaml", topic("one", 3) + topic("two", 3));
    await begin();
    expect(await partitions("one")()).toBe(3);
    expect((await get("one"))?.spec.deletionPolicy).toBe("Retain");
    await put("b.yml", topic("three", 1));
    await expect.poll(partitions("three"), within).toBe(1);
    await put("a.yaml", topic("one", 6));
    await expect.poll(partitions("one"), within).toBe(6);
    await expect.poll(() => get("two"), within).toBeUndefined();
    await rm(join(dir, "b.yml"));
    await expect.poll(() => get("three"), within).toBeUndefined();
    expect(refusals()).toEqual([]);
  });

  test("a file that does not parse changes nothing, says why once, and is taken when it is whole again", async () => {
    await put("a.yaml", topic("one", 3));
    await begin();
    await put("a.yaml", topic("one", 6).slice(0, -2));
    await expect.poll(refusals, within).toHaveLength(1);
    expect(refusals()[0]).toMatchObject({
      file: "a.yaml",
      path: expect.stringMatching(/^line/),
      found: expect.anything(),
    });
    expect(await partitions("one")()).toBe(3);
    await put("other.yaml", topic("two", 1));
    await expect.poll(partitions("two"), within).toBe(1);
    expect(refusals()).toHaveLength(1);
    await put("a.yaml", topic("one", 6));
    await expect.poll(partitions("one"), within).toBe(6);
  });

  test("a change that the API forbids holds the whole file back", async () => {
    await put("a.yaml", topic("one", 3) + topic("two", 1));
    await begin();
    await put("a.yaml", topic("one", 2) + topic("two", 5));
    await expect.poll(refusals, within).toMatchObject([{ path: "spec.partitions", found: "2, before 3" }]);
    expect([await partitions("one")(), await partitions("two")()]).toEqual([3, 1]);
  });

  test("a broken file does not delete what it declared, over a restart either", async () => {
    await put("a.yaml", topic("one", 3));
    await begin();
    await end();
    await put("a.yaml", "{");
    await begin();
    expect(refusals()).toHaveLength(1);
    expect(await partitions("one")()).toBe(3);
    expect(folder?.declaredIn({ kind: "AuditTopic", namespace: "default", name: "one" })).toBe(join(dir, "a.yaml"));
  });

  test("what a file lost while nothing ran is deleted at the start", async () => {
    await put("a.yaml", topic("one", 3) + topic("two", 3));
    await begin();
    await end();
    await put("a.yaml", topic("two", 3));
    await begin();
    expect(await get("one")).toBeUndefined();
    expect(await partitions("two")()).toBe(3);
  });

  test("a folder without a manifest at the start removes nothing: it may not be mounted yet", async () => {
    await put("a.yaml", topic("one", 3));
    await begin();
    await end();
    await rename(join(dir, "a.yaml"), join(root, "a.yaml"));
    await begin();
    expect(await partitions("one")()).toBe(3);
    expect(refusals()).toHaveLength(1);
  });

  test("a resource stays when it moves from one file to another", async () => {
    await put("a.yaml", topic("one", 3) + topic("two", 3));
    await begin();
    const uid = (await get("one"))?.metadata.uid;
    await put("a.yaml", topic("two", 3));
    await put("b.yaml", topic("one", 4));
    await expect.poll(partitions("one"), within).toBe(4);
    expect((await get("one"))?.metadata.uid).toBe(uid);
  });

  test("of two files that declare the same, the second is refused with the name of the first", async () => {
    await put("a.yaml", topic("one", 3));
    await put("b.yaml", topic("one", 6));
    await begin();
    expect(refusals()).toMatchObject([{ file: "b.yaml", found: "AuditTopic/default/one, also in a.yaml" }]);
    expect(await partitions("one")()).toBe(3);
  });

  test("a resource that a controller made is not taken over", async () => {
    const made = {
      apiVersion: "auditpipeline.io/v1alpha1",
      kind: "AuditTopic",
      metadata: { namespace: "default", name: "one" },
    };
    await store.apply({ ...made, spec: { partitions: 1 } }, { fieldManager: "operator" });
    await put("a.yaml", topic("one", 3));
    await begin();
    expect(refusals()).toMatchObject([{ file: "a.yaml", path: "metadata.name" }]);
    expect(await partitions("one")()).toBe(1);
  });

  test("files that are no manifests are left alone", async () => {
    for (const file of [".a.yaml.swp", ".hidden.yaml", "notes.txt", "a.yaml~"]) await put(file, "{{{");
    await put("good.yaml", topic("one", 3));
    await begin();
    expect(refusals()).toEqual([]);
    expect(await partitions("one")()).toBe(3);
  });

  test("a settled folder writes nothing", async () => {
    await put("a.yaml", topic("one", 3));
    await begin();
    const { resourceVersion } = await store.list("AuditTopic");
    for (let round = 0; round < 3; round += 1) {
      await put("a.yaml", topic("one", 3));
      await new Promise((resolve) => setTimeout(resolve, 900));
    }
    expect((await store.list("AuditTopic")).resourceVersion).toBe(resourceVersion);
  });
});
