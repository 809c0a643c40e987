import { pino } from "pino";
import { expect, test } from "vitest";
import { sink as sinkSchema } from "../../crds/v1alpha1/pipeline-sink.ts";
import type { OperatorConfig } from "../config.ts";
import type { LedgerIdentity } from "../desired/postgres-names.ts";
import type { LedgerAction } from "../plan/postgres-ledger.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { keepMonths } from "./month-keeper.ts";

const backend = {
  name: "default",
  namePrefix: "{namespace}_",
  allowedNamespaces: ["*"],
  maintenanceDatabase: "postgres",
};
const config = { clusterId: "c", backends: { kafka: [], postgres: [backend] } } as unknown as OperatorConfig;
const spec = { sinks: [sinkSchema.parse({ name: "ledger", postgres: {} })] };
const pipeline = (name: string, its: unknown) => ({
  metadata: { namespace: "n", name, uid: name },
  spec: its,
  status: { sinks: [{ name: "ledger", postgres: {} }] },
});

/** One look, whatever is among the pipelines: which of them got months. */
async function monthsOf(pipelines: readonly unknown[]): Promise<Set<string>> {
  const got = new Set<string>();
  const end = new AbortController();
  const markers: Record<string, (identity: LedgerIdentity) => object | undefined> = {
    mine: (identity) => ({ ...identity, state: "Owned" }),
    released: (identity) => ({ ...identity, state: "Released" }),
    former: (identity) => ({ ...identity, uid: "another", state: "Owned" }),
    others: (identity) => ({ ...identity, name: "another", state: "Owned" }),
    unmarked: () => undefined,
  };
  const ledgers = ({ identity }: { identity: LedgerIdentity }) => ({
    readProgress: async () => [{ wantedMonth: { year: 2026, month: 9 } }],
    observe: async () => ({ months: [], roles: { owner: { marker: markers[identity.name]?.(identity) } } }),
    apply: async ({ kind }: LedgerAction) => void got.add(`${kind} ${identity.name}`),
  });
  const deps = { config, ledgers, now: () => new Date("2026-11-23T10:00:00Z") } as unknown as Deps;
  const list = async () => {
    // A look that was begun is brought to its end.
    end.abort();
    return { items: pipelines };
  };
  const store = { list } as unknown as ObjectStore;
  await keepMonths(deps, store, () => undefined, pino({ level: "silent" }), end.signal);
  return got;
}

test("months are made in ledgers that are marked ours, beside whatever spec nobody checked", async () => {
  const unchecked = [null, {}, { sinks: null }, { sinks: [null, { name: "ledger", postgres: { schema: 5 } }] }];
  const names = ["others", "mine", "unmarked", "released", "former"];
  const got = await monthsOf([
    ...unchecked.map((its, at) => pipeline(`unchecked-${at}`, its)),
    ...names.map((name) => pipeline(name, spec)),
  ]);
  expect([...got].sort()).toEqual(["AttachMonth mine", "AttachMonth released"]);
}, 60_000);
