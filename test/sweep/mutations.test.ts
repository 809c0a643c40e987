import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { validateResource } from "../../crds/validate.ts";
import { InvalidError } from "../../operator/runtime/object-store.ts";
import { Random } from "../stream/random.ts";
import { apply, conditionOf, isReady } from "../support/operator.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";
import { type Mutation, mutations } from "./mutations.ts";
import { makeWorld, type RunningOperator, type World } from "./world.ts";

/** One field of a pipeline wrong, then right again. MUTATIONS says how many of those there are; 0 takes all. */
const MOST = Number(process.env["MUTATIONS"] ?? 30) || Number.POSITIVE_INFINITY;

const good = {
  topic: { template: { partitions: 1 } },
  workload: { replicas: 0 },
  sinks: [{ name: "ledger", postgres: {} }],
};
const isValid = ({ spec }: Mutation, old?: AuditPipeline) => validateResource({ ...resource("audit"), spec }, old).ok;
const resource = (name: string) => ({
  apiVersion: "auditpipeline.io/v1alpha1",
  kind: "AuditPipeline",
  metadata: { name, namespace: "any" },
});

const all = mutations("AuditPipeline", good);
const invalid = all.filter((mutation) => !isValid(mutation));
/** Whatever the seed: of most fields a deletion makes nothing, and gets by with them. */
const always = invalid.filter(({ name }) => name === "spec.sinks = 0");
const picked = [...new Set([...always, ...new Random(SEED).shuffle(invalid)])].slice(0, MOST);
const WITHIN_MS = 60_000 + picked.length * 10_000;

const { kafka, postgres18: postgres } = sharedServers();
const [host = "", port = ""] = (kafka.bootstrapServers[0] ?? "").split(":");
const namespace = `m${randomBytes(4).toString("hex")}`;
let world: World;
let operator: RunningOperator;
beforeAll(async () => {
  world = await makeWorld({ kafka: { host, port: Number(port) }, postgres }, namespace);
  await apply(world.store, "AuditPipeline", "audit", namespace, good);
  await apply(world.store, "AuditPipeline", "neighbour", namespace, good);
  await world.live();
  operator = world.start();
});
afterAll(async () => {
  await operator.stop();
  await world.close();
});

const ref = (name: string) => ({ kind: "AuditPipeline", namespace, name });
const pipeline = async (name: string) => {
  const found = await world.store.get<AuditPipeline>(ref(name));
  if (found === undefined) throw new Error(`${name} is gone`);
  return found;
};
const write = async (spec: unknown) => world.store.update({ ...(await pipeline("audit")), spec } as AuditPipeline);

test(`the schema draws enough lines: ${all.length} mutations, ${invalid.length} of them refused`, () => {
  expect(all.length).toBeGreaterThan(400);
  expect(invalid.length).toBeGreaterThan(300);
  expect(always.length).toBe(1);
});

describe(`a pipeline with one field wrong (SEED=${SEED} MUTATIONS=${picked.length})`, () => {
  test("is refused with the field's name", async () => {
    const applied = picked.map(({ spec }) => apply(world.store, "AuditPipeline", "audit", namespace, spec));
    const answers = await Promise.allSettled(applied);
    const accepted = answers.flatMap((answer, n) => {
      const refused = answer.status === "rejected" && answer.reason instanceof InvalidError;
      return refused && (answer.reason as InvalidError).causes.every(({ field }) => field.startsWith("spec"))
        ? []
        : [picked[n]?.name];
    });
    expect(accepted).toEqual([]);
  });

  test(
    "and let in all the same: stalls, touches nothing, stops nobody, and is well again with the field",
    async () => {
      const { spec } = await pipeline("audit");
      for (const mutation of picked) {
        const before = operator.life.calls.length;
        await world.unchecked(() => write(mutation.spec));
        const { ends } = await operator.round();
        const written = operator.life.calls.slice(before).map(({ what }) => what);
        expect(
          written.filter((what) => what !== "status AuditPipeline audit"),
          mutation.name,
        ).toEqual([]);
        expect(
          ends.filter(({ kind }) => kind === "Retry"),
          mutation.name,
        ).toEqual([]);
        expect(conditionOf(await pipeline("audit"), "Stalled"), mutation.name).toMatchObject({ reason: "InvalidSpec" });
        expect(isReady(await pipeline("neighbour")), mutation.name).toBe(true);

        // Where only a fresh resource could take the field back, the rules are in the way once more.
        await write(spec).catch(() => world.unchecked(() => write(spec)));
        await operator.round();
        expect(isReady(await pipeline("audit")), mutation.name).toBe(true);
      }
    },
    WITHIN_MS,
  );

  test(
    "and deleted so: goes, and leaves nothing behind",
    async () => {
      for (const mutation of picked) {
        await world.unchecked(() => apply(world.store, "AuditPipeline", "bad", namespace, mutation.spec));
        await operator.round();
        await world.store.delete(ref("bad"));
        const { ends } = await operator.round();
        expect(await world.store.get(ref("bad")), `${mutation.name} ${JSON.stringify(ends)}`).toBeUndefined();
      }
    },
    WITHIN_MS,
  );
});
