import { randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import type { Ledger } from "../../operator/desired/postgres-ledger.ts";
import type { Month } from "../../operator/desired/postgres-month.ts";
import { type LedgerIdentity, type LedgerNames, ledgerNames } from "../../operator/desired/postgres-names.ts";
import type { PostgresConnections, PostgresServer } from "../../operator/external/connect-postgres.ts";
import { type LedgerPasswords, type PostgresLedger, postgresLedger } from "../../operator/external/postgres-ledger.ts";
import { credentialFingerprint, generatePassword } from "../../operator/external/scram.ts";
import type { Plan } from "../../operator/plan/plan.ts";
import { type LedgerAction, type LedgerHints, planLedger } from "../../operator/plan/postgres-ledger.ts";
import { planTeardown, type TeardownPolicy } from "../../operator/plan/postgres-teardown.ts";
import type { Pg } from "./servers.ts";

/** A namespace nobody else in the run has: what is made on the shared servers never meets. */
export const uniqueNamespace = () => `t-${randomBytes(5).toString("hex")}`;

/** The server as the operator's configuration would have it, logging in as the non-superuser admin. */
export function backendFor(pg: Pg, over: Partial<PostgresServer> = {}): PostgresServer & { namePrefix: string } {
  const adminSecretFile = join(mkdtempSync(join(tmpdir(), "audit-pipeline-")), "admin.yaml");
  writeFileSync(adminSecretFile, JSON.stringify({ username: pg.admin.user, password: pg.admin.password }), {
    mode: 0o600,
  });
  const { host, port } = pg;
  const fixed = { name: `pg-${port}`, sslMode: "Disable", maintenanceDatabase: "postgres" } as const;
  return { ...fixed, host, port, adminSecretFile, caFile: undefined, namePrefix: "{namespace}_", ...over };
}

export interface LedgerFixture {
  readonly names: LedgerNames;
  readonly identity: LedgerIdentity;
  readonly passwords: LedgerPasswords;
  readonly access: PostgresLedger;
  readonly desired: Ledger;
  plan(hints?: LedgerHints): Promise<Plan<LedgerAction>>;
  /** Plans and applies; answers the kinds of what was done. */
  converge(hints?: LedgerHints): Promise<string[]>;
  teardown(policy: TeardownPolicy): Promise<string[]>;
}

export interface FixtureOptions {
  readonly pg: Pg;
  readonly connections: PostgresConnections;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly sink?: string;
  readonly database?: string;
  readonly schema?: string;
  readonly readerLogin?: boolean;
  readonly months?: readonly Month[];
  readonly passwords?: LedgerPasswords;
  /** Whose the ledger is, where that is not who it is named after. */
  readonly identity?: LedgerIdentity;
  readonly adoptionPolicy?: Ledger["adoptionPolicy"];
  readonly driftPolicy?: Ledger["driftPolicy"];
}

export const MONTHS: readonly Month[] = [
  { year: 2026, month: 11 },
  { year: 2026, month: 12 },
];

/** One pipeline's sink and its ledger on a server. */
export function ledgerFixture(options: FixtureOptions): LedgerFixture {
  const { pg, connections, namespace = uniqueNamespace(), name = "payments", uid = "uid-1", sink = "ledger" } = options;
  const server = backendFor(pg);
  const own = { clusterId: "test-cluster", namespace, name, uid, sink };
  const identity = options.identity ?? own;
  const { database, schema } = options;
  const names = ledgerNames(own, { database, schema }, server);
  const passwords = options.passwords ?? {
    writer: generatePassword(),
    ...(options.readerLogin === false ? {} : { reader: generatePassword() }),
  };
  const desired: Ledger = {
    names,
    identity,
    months: options.months ?? MONTHS,
    adoptionPolicy: options.adoptionPolicy ?? "Never",
    driftPolicy: options.driftPolicy ?? "Correct",
    credentials: {
      writer: credentialFingerprint(passwords.writer),
      ...(passwords.reader !== undefined && { reader: credentialFingerprint(passwords.reader) }),
    },
  };
  const access = postgresLedger({ connections, server, identity, names, passwords, adoption: options.adoptionPolicy });
  const apply = async (actions: readonly LedgerAction[]) => {
    for (const action of actions) await access.apply(action);
    return actions.map(({ kind }) => kind);
  };
  const plan = async (hints?: LedgerHints) => planLedger(desired, await access.observe(), hints);
  return {
    names,
    identity,
    passwords,
    access,
    desired,
    plan,
    converge: async (hints) => apply((await plan(hints)).actions),
    teardown: async (policy) => apply(planTeardown(names, identity, await access.observe(), policy).actions),
  };
}

/** A session of anybody's, for one piece of work. */
export async function asLogin<T>(
  pg: Pg,
  login: { user: string; password: string },
  database: string,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client({ host: pg.host, port: pg.port, database, ...login, ssl: false });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export const asSuperuser = <T>(pg: Pg, database: string, work: (client: Client) => Promise<T>) =>
  asLogin(pg, pg.superuser, database, work);
