import { expect, test } from "vitest";
import { ledgerNames } from "../../operator/desired/postgres-names.ts";
import { sinkNames } from "../../operator/desired/sink-names.ts";
import type { Random } from "../stream/random.ts";
import { SEED } from "../support/seed.ts";
import { fuzzRuns, seeded, tries } from "./runs.ts";

const RUNS = fuzzRuns(20_000);

/** Few letters, many dashes, and what a hash might look like: names that meet if any do. */
function label(random: Random, longest: number): string {
  const length = random.chance(0.2) ? longest : random.between(1, Math.min(longest, 9));
  const inner = Array.from({ length }, () => random.pick(["a", "b", "-", "-", "0", "f"])).join("");
  return inner.replace(/^-/, "a").replace(/-$/, "b");
}

/** Names seen so far, and whose they are: no two may share one. */
function owners(): (name: string, owner: string) => string | undefined {
  const seen = new Map<string, string>();
  return (name, owner) => {
    const other = seen.get(name);
    seen.set(name, owner);
    return other === undefined || other === owner ? undefined : `${name} is of ${other} and of ${owner}`;
  };
}

test(`${RUNS} pipelines have ledgers and roles of their own, within PostgreSQL's 63 bytes (SEED=${SEED})`, {
  timeout: 60_000 + RUNS,
}, () => {
  const random = seeded();
  const own = owners();
  const backend = { name: "pg", namePrefix: "{namespace}_", maintenanceDatabase: "postgres" };
  const wrong = tries(RUNS, () => {
    const [namespace, name] = [`n${label(random, 62)}`, label(random, 253)];
    const identity = { clusterId: "c", namespace, name, sink: "s", uid: "u" };
    const names = ledgerNames(identity, {}, backend);
    const all = [names.database, names.owner, names.writer, names.reader, names.otherWriter, names.otherReader];
    const long = all.find((one) => Buffer.byteLength(one) > 63);
    if (long !== undefined) return `${long} is too long`;
    return all.map((one) => own(one, `${namespace}/${name}`)).find((problem) => problem !== undefined);
  });
  expect(wrong).toBeUndefined();
});

test(`${RUNS} sinks have workloads of their own, also where a name looks like another's hash (SEED=${SEED})`, {
  timeout: 60_000 + RUNS,
}, () => {
  const random = seeded();
  const own = owners();
  const check = (name: string, sink: string) => {
    const { workload, consumerGroup } = sinkNames({ namespace: "n", name }, sink);
    return own(`workload ${workload}`, `${name}/${sink}`) ?? own(`group ${consumerGroup}`, `${name}/${sink}`);
  };
  const wrong = tries(RUNS, () => {
    const [name, sink] = [label(random, 12), label(random, 10)];
    const [, ours = "", last = ""] = /^(.*)-([^-]*)$/.exec(sinkNames({ namespace: "n", name }, sink).workload) ?? [];
    // The same text, cut elsewhere: a pipeline named like ours and a sink named like our hash.
    return check(name, sink) ?? (ours === "" || last === "" ? undefined : check(ours, last));
  });
  expect(wrong).toBeUndefined();
});
