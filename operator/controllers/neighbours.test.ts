import { expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { OperatorConfig } from "../config.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import type { LedgerPlace } from "./ledger-place.ts";
import { yieldToOlder } from "./ledger-rivals.ts";
import { rivalsOf } from "./topic-rivals.ts";

/** Let in by other CRDs than this operator's: nothing of it can be relied on. */
const SPECS: readonly unknown[] = [
  {},
  null,
  { sinks: null, kafka: 5 },
  { sinks: [null, {}, { name: "x", postgres: { database: 5 } }], kafka: { backendRef: { name: "default" } } },
  { kafka: { backendRef: { name: "default" } }, topicName: 7, deadLetter: null },
];
const metadata = {
  namespace: "b",
  uid: "a",
  resourceVersion: "1",
  generation: 1,
  creationTimestamp: "2020-01-01T00:00:00Z",
};
const neighbours = SPECS.map((spec, at) => ({ metadata: { ...metadata, name: `n${at}`, uid: `a${at}` }, spec }));
const store = { list: async () => ({ items: neighbours }) } as unknown as ObjectStore;
const backend = { name: "default", namePrefix: "{namespace}_", allowedNamespaces: ["*"], bootstrapServers: ["k:9092"] };
const config = { clusterId: "c", backends: { kafka: [backend], postgres: [backend] } } as unknown as OperatorConfig;
const mine = {
  metadata: { ...metadata, namespace: "a", name: "mine", uid: "z", creationTimestamp: "2026-01-01T00:00:00Z" },
};

test("a neighbour's spec that nobody checked stops no topic", async () => {
  const spec = { kafka: { backendRef: { name: "default" } } };
  const rivals = await rivalsOf({ ...mine, spec } as unknown as AuditTopic, config, store);
  expect(rivals.over("a_mine")).toBeUndefined();
});

test("a topic that a resource holds stays its claim when the platform no longer allows its name", async () => {
  const spec = { kafka: { backendRef: { name: "default" } }, topicName: "granted" };
  const holder = { metadata: { ...metadata, name: "old", uid: "old" }, spec };
  const rivals = (status: object) => {
    const beside = { list: async () => ({ items: [{ ...holder, status }] }) } as unknown as ObjectStore;
    return rivalsOf({ ...mine, spec } as unknown as AuditTopic, config, beside);
  };
  const held = await rivals({ topicName: "granted", topicId: "1", ownership: "Adopted" });
  expect(held.over("granted")).toMatchObject({ reason: "TopicConflict" });
  const read = await rivals({ topicName: "granted", topicId: "1", ownership: "Observed" });
  expect(read.over("granted")).toBeUndefined();
});

test("a neighbour's spec that nobody checked stops no ledger", async () => {
  const place = { backend, ledger: { database: "a_mine", schema: "audit" } } as unknown as LedgerPlace;
  const mayGo = yieldToOlder(mine as unknown as AuditPipeline, place, false, store, { config } as unknown as Deps);
  await expect(mayGo).resolves.toBeUndefined();
});
