import { apply } from "../support/operator.ts";
import type { World } from "./world.ts";

/** What a user does, on a world that has settled. */
type Act = (world: World) => Promise<unknown>;

export interface Scenario {
  readonly name: string;
  /** Each undisturbed, until it has settled. */
  readonly before: readonly Act[];
  /** What is disturbed. */
  readonly act: Act;
  /** What the user does before the next operator starts. How far the first one came is then in the receipts, and only there. */
  readonly whileDead?: Act;
}

const ledger = (over: object = {}, postgres: object = {}) => ({ name: "ledger", ...over, postgres });
const second = (over: object = {}) => ({ name: "second", ...over, postgres: { database: "NS_second" } });
const GONE = { deletionPolicy: { database: "Delete" } };
const CONFIRMED = { "auditpipeline.io/confirm-delete": "audit" };

type Spec = Record<string, unknown>;

/** The pipeline as a user declares it. Its sinks run nowhere unless a scenario says how many. */
const declare =
  (spec: Spec, annotations?: Record<string, string>): Act =>
  ({ store, namespace }) => {
    const base = { topic: { template: { partitions: 1 } }, workload: { replicas: 0 }, sinks: [ledger()] };
    const text = JSON.stringify({ ...base, ...spec }).replaceAll("NS_", `${namespace}_`);
    return apply(store, "AuditPipeline", "audit", namespace, JSON.parse(text) as Spec, annotations);
  };

const remove: Act = ({ store, namespace }) => store.delete({ kind: "AuditPipeline", namespace, name: "audit" });

/** At once; the login before stays good for the overlap of a day. */
const rotate = declare(
  { sinks: [ledger({}, { roles: { reader: { login: true } } })] },
  { "auditpipeline.io/rotate-at": "now" },
);

const wait =
  (hours: number): Act =>
  async ({ clock }) => {
    clock.aheadMs += hours * 3_600_000;
  };

/** Somebody cleans up what does not look needed. */
const loseOwnObjects: Act = async ({ store, namespace }) => {
  const names = { Deployment: "audit-ledger", ServiceAccount: "audit-ledger", Secret: "audit-ledger-reader" };
  for (const [kind, name] of Object.entries(names)) await store.delete({ kind, namespace, name });
};

const reader = ledger({}, { roles: { reader: { login: true } } });
const allGone = { sinks: [ledger(GONE)], topic: { template: { partitions: 1, deletionPolicy: "Delete" } } };

export const scenarios: readonly Scenario[] = [
  { name: "create", before: [], act: declare({ sinks: [reader] }) },
  { name: "create-two-sinks", before: [], act: declare({ sinks: [ledger(), second()], workload: { replicas: 1 } }) },
  {
    name: "change-topic",
    before: [declare({})],
    act: declare({
      topic: { template: { partitions: 3, retention: { time: "48h" }, config: { "segment.bytes": "104857600" } } },
    }),
  },
  { name: "change-workload", before: [declare({})], act: declare({ workload: { replicas: 2, logLevel: "Debug" } }) },
  { name: "reader-added", before: [declare({})], act: declare({ sinks: [reader] }) },
  { name: "reader-removed", before: [declare({ sinks: [reader] })], act: declare({}) },
  { name: "sink-added", before: [declare({})], act: declare({ sinks: [ledger(), second()] }) },
  { name: "sink-removed", before: [declare({ sinks: [ledger(), second()] })], act: declare({}) },
  {
    name: "sink-destroyed",
    before: [declare({ sinks: [ledger(), second(GONE)] }, CONFIRMED)],
    act: declare({}, CONFIRMED),
  },
  { name: "delete-retain", before: [declare({ sinks: [reader], workload: { replicas: 1 } })], act: remove },
  { name: "delete-all", before: [declare(allGone, CONFIRMED)], act: remove },
  { name: "delete-unconfirmed", before: [declare(allGone)], act: remove },
  { name: "re-create-retained", before: [declare({ sinks: [reader] }), remove], act: declare({ sinks: [reader] }) },
  {
    name: "delete-all-two-sinks",
    before: [declare({ ...allGone, sinks: [ledger(GONE), second(GONE)], workload: { replicas: 1 } }, CONFIRMED)],
    act: remove,
  },
  { name: "re-create-deleted", before: [declare(allGone, CONFIRMED), remove], act: declare(allGone, CONFIRMED) },
  { name: "create-then-delete", before: [], act: declare(allGone, CONFIRMED), whileDead: remove },
  {
    name: "add-then-roll-back",
    before: [declare({}, CONFIRMED)],
    act: declare({ sinks: [ledger(), second(GONE)] }, CONFIRMED),
    whileDead: declare({}, CONFIRMED),
  },
  { name: "rotate", before: [declare({ sinks: [reader] })], act: rotate },
  { name: "rotation-ends", before: [declare({ sinks: [reader] }), rotate], act: wait(25) },
  { name: "owned-objects-deleted", before: [declare({ sinks: [reader] })], act: loseOwnObjects },
];
