import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { goesOn, readProgress, until, type World, withSuperuser } from "../stream/world.ts";
import type { Fault } from "./fault.ts";
import { endSessions, RENAMED } from "./rivals.ts";

const { escapeIdentifier: quoted, escapeLiteral: literal } = pg;

/** What an administrator does to the database by mistake: while it lasts nothing is stored, and nothing is poison. */
export const tables = {
  readOnly: { row: 27, run: readOnly },
  monthMissing: { row: 28, run: monthMissing },
  rightRevoked: {
    row: 29,
    run: holdsWhile((world) => ({
      harm: `REVOKE INSERT ON audit.events FROM ${writer(world)}`,
      heal: `GRANT INSERT ON audit.events TO ${writer(world)}`,
    })),
  },
  loginLocked: {
    row: 29,
    run: holdsWhile((world) => ({
      harm: `ALTER ROLE ${writer(world)} NOLOGIN`,
      heal: `ALTER ROLE ${writer(world)} LOGIN`,
    })),
  },
  passwordChanged: {
    row: 29,
    run: holdsWhile((world) => ({
      harm: `ALTER ROLE ${writer(world)} PASSWORD 'another'`,
      heal: `ALTER ROLE ${writer(world)} PASSWORD ${literal(world.database.writer.password)}`,
    })),
  },
  roleGone: {
    row: 29,
    run: holdsWhile((world) => ({
      harm: `ALTER ROLE ${writer(world)} RENAME TO ${RENAMED}`,
      heal: `ALTER ROLE ${RENAMED} RENAME TO ${writer(world)}`,
    })),
  },
  databaseGone: { row: 29, run: databaseGone },
  connectionLimit: { row: 30, run: connectionLimit },
  columnRenamed: {
    row: 31,
    run: holdsWhile(() => ({
      harm: "ALTER TABLE audit.events RENAME COLUMN action TO was_action",
      heal: "ALTER TABLE audit.events RENAME COLUMN was_action TO action",
    })),
  },
  columnOfAnotherType: {
    row: 31,
    run: holdsWhile(() => ({
      harm: "ALTER TABLE audit.event_ids ALTER COLUMN sha256 TYPE text USING encode(sha256, 'hex')",
      heal: "ALTER TABLE audit.event_ids ALTER COLUMN sha256 TYPE bytea USING decode(sha256, 'hex')",
    })),
  },
  /** The server says nothing of rows that a trigger leaves out: only their number does. */
  rowsSwallowed: {
    row: 31,
    run: holdsWhile(() => ({
      harm: `CREATE FUNCTION audit.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER swallow BEFORE INSERT ON audit.events FOR EACH ROW EXECUTE FUNCTION audit.swallow()`,
      heal: "DROP TRIGGER swallow ON audit.events; DROP FUNCTION audit.swallow",
    })),
  },
} as const satisfies Record<string, Fault>;

const writer = ({ database }: World) => quoted(database.writer.user);

const settled = async (world: World) =>
  [...(await readProgress(world)).values()].reduce((sum, { nextOffset }) => sum + nextOffset, 0);

/** Sessions that were there before are ended: what a login may do is asked at its beginning. */
function holdsWhile(statements: (world: World) => { readonly harm: string; readonly heal: string }): Fault["run"] {
  return async (world) => {
    const { harm, heal } = statements(world);
    await withSuperuser(world, async (client) => {
      await client.query(harm);
      await endSessions(world, client);
    });
    await standsStill(world).finally(() => withSuperuser(world, (client) => client.query(heal)));
    const tookMs = await goesOn(world);
    world.say(`Nothing was settled meanwhile; all of it ${Math.round(tookMs)} ms after`);
  };
}

/** What was under way at the beginning may end; after that not one offset is settled while records keep coming. */
async function standsStill(world: World): Promise<void> {
  await sleep(500);
  const before = await settled(world);
  await sleep(world.doses.outageMs);
  const after = await settled(world);
  if (after !== before) throw new Error(`${after - before} offsets were settled although nothing can be stored`);
}

/** Healed without ending the sessions: one that began read-only stays so, and must not be used for ever. */
async function readOnly(world: World): Promise<void> {
  world.churn.mode = "None";
  await withSuperuser(world, async (client) => {
    await client.query(`ALTER ROLE ${writer(world)} SET default_transaction_read_only = on`);
    await endSessions(world, client);
  });
  // A newcomer has to claim, which no longer works.
  const newcomer = await world.sinks.add();
  await until("a claim is refused", 60_000, () =>
    [newcomer, ...world.sinks.working].some((sink) => sink.log().includes('"25006"')),
  );
  await withSuperuser(world, (client) =>
    client.query(`ALTER ROLE ${writer(world)} RESET default_transaction_read_only`),
  );
  const tookMs = await goesOn(world);
  world.say(`The server took no writes; all was settled ${Math.round(tookMs)} ms after it did again`);
}

/** Each sink wants two: the one session there is goes round among them. */
async function connectionLimit(world: World): Promise<void> {
  await withSuperuser(world, async (client) => {
    await client.query(`ALTER ROLE ${writer(world)} CONNECTION LIMIT 1`);
    await endSessions(world, client);
    await sleep(world.doses.outageMs);
    await client.query(`ALTER ROLE ${writer(world)} CONNECTION LIMIT -1`);
  });
  world.say("The writer was allowed one session for all its sinks");
  await goesOn(world);
}

async function monthMissing(world: World): Promise<void> {
  const name = await withSuperuser(world, async (client) => {
    const { rows } = await client.query<{ name: string; bound: string }>(`
      SELECT oid::regclass::text AS name, pg_get_expr(relpartbound, oid) AS bound FROM pg_class
      WHERE oid IN (SELECT tableoid FROM audit.events ORDER BY recorded_at DESC LIMIT 1)`);
    const [month] = rows;
    if (month === undefined) throw new Error("No event is stored yet");
    await client.query(`ALTER TABLE audit.events DETACH PARTITION ${month.name}`);
    try {
      const wanted = "SELECT FROM audit.progress WHERE wanted_month IS NOT NULL";
      await until("a sink asks for the month", 20_000, async () => ((await client.query(wanted)).rowCount ?? 0) > 0);
    } finally {
      await client.query(`ALTER TABLE audit.events ATTACH PARTITION ${month.name} ${month.bound}`);
    }
    return month.name;
  });
  world.say(`The table partition ${name} was away, asked for, and is back`);
  await goesOn(world);
}

async function databaseGone(world: World): Promise<void> {
  const { name } = world.database;
  const { host, port, superuser } = world.postgres;
  const client = new pg.Client({ host, port, ...superuser, database: "postgres" });
  await client.connect();
  try {
    await client.query(`ALTER DATABASE ${quoted(name)} ALLOW_CONNECTIONS false`);
    await until("nobody is connected", 10_000, async () => {
      const sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
      return ((await client.query(sql, [name])).rowCount ?? 0) === 0;
    });
    await client.query(`ALTER DATABASE ${quoted(name)} RENAME TO away`);
    await sleep(world.doses.outageMs);
    await client.query(`ALTER DATABASE away RENAME TO ${quoted(name)}`);
    await client.query(`ALTER DATABASE ${quoted(name)} ALLOW_CONNECTIONS true`);
  } finally {
    await client.end();
  }
  world.say("The database was away under its name, and is back");
  await goesOn(world);
}
