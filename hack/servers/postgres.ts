import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import pg from "pg";
import { reachableByOthers } from "./cache.ts";
import { installPostgres, type PostgresMajor } from "./install-postgres.ts";
import { forget, once } from "./once.ts";
import { freePorts } from "./ports.ts";
import { type Lifetime, removeLater, stateFolder, sweep } from "./registry.ts";
import { run } from "./run.ts";
import { launch, type Running } from "./server.ts";

export interface PostgresOptions {
  major: PostgresMajor;
  /** Data and log (`server.log`). A folder with data from before is used as it is. */
  dir: string;
  /** Where it listens. Default: loopback. */
  host?: string;
  /** Default: a free one. */
  port?: number;
  /** Server settings, such as { log_statement: "mod" } to count writes in the log. fsync stays on unless named here. */
  settings?: Record<string, string>;
  /** "parent" (default): ends with this process, however that ends. */
  lifetime?: Lifetime;
}

export interface Login {
  user: string;
  password: string;
}

export interface Postgres extends Running {
  readonly major: PostgresMajor;
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  readonly logFile: string;
  readonly superuser: Login;
  /** CREATEDB CREATEROLE, not superuser: what the operator is given. */
  readonly admin: Login;
  /** Ends the server if it runs (orderly) and starts it on the same data and port. */
  restart(): Promise<void>;
  /** SIGKILL, and the data is gone. */
  remove(): Promise<void>;
}

/** One PostgreSQL on loopback, scram-sha-256 for every login. The first call ever downloads it. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { major, dir, host = LOOPBACK, settings = {}, lifetime = "parent" } = options;
  sweep();
  const native = await installPostgres(major);
  const user = serverUser();
  const folder = resolve(dir);
  mkdirSync(folder, { recursive: true });
  const data = dataFolder(folder, user);
  const keepData = data.startsWith(OUTSIDE) ? removeLater([data, passwordFileOf(data)]) : () => undefined;
  const credentials = loadCredentials(folder);
  await once(folder, () => initialise(native, data, credentials.superuser, user));
  if (host !== LOOPBACK) letInEveryAddress(data);

  const [freePort] = await freePorts(1);
  const port = options.port ?? freePort;
  if (port === undefined) throw new Error("No free loopback port");
  const logFile = join(folder, "server.log");
  const start = () =>
    launch({
      kind: `postgres-${major}`,
      command: join(native, "bin/postgres"),
      args: ["-D", data, ...flags({ ...defaults(host, port), ...settings })],
      ...(user === undefined ? {} : { user }),
      cwd: data,
      logFile,
      // "connections", or "read-only connections" of a replica.
      readyLine: "database system is ready to accept",
      readyWithinMs: 60_000,
      // Fast shutdown: open transactions are rolled back, the data is flushed.
      stopSignal: "SIGINT",
      lifetime,
      disposable: [data, folder].filter(isOurs),
    });
  let running = await start();
  const server = { host, port };
  await ensureAdmin(server, credentials);
  if (lifetime === "detached") keepData();

  return {
    major,
    ...server,
    dir: folder,
    logFile,
    ...credentials,
    get pid() {
      return running.pid;
    },
    stop: () => running.stop(),
    kill: () => running.kill(),
    async restart() {
      await running.stop();
      running = await start();
    },
    async remove() {
      await running.kill();
      for (const place of [data, folder]) rmSync(place, { recursive: true, force: true });
      keepData();
    },
  };
}

/**
 * A streaming replica of `primary`, which is stopped for as long as its data is copied. It follows what listens at
 * `primaryPort`, so that something may stand between. `restart` after a promotion starts a primary.
 */
export async function startReplica(
  primary: Postgres,
  options: { dir: string; primaryPort: number },
): Promise<Postgres> {
  const folder = resolve(options.dir);
  mkdirSync(folder, { recursive: true });
  const data = dataFolder(folder, serverUser());
  await primary.stop();
  await run("cp", ["-a", `${realpathSync(join(primary.dir, "data"))}/.`, data]);
  await primary.restart();

  const { user, password } = primary.superuser;
  const source = `host=127.0.0.1 port=${options.primaryPort} user=${user} password=${password}`;
  writeFileSync(join(data, "postgresql.auto.conf"), `primary_conninfo = '${source}'\n`, { flag: "a" });
  writeFileSync(join(data, "standby.signal"), "");
  copyFileSync(join(primary.dir, "credentials.json"), join(folder, "credentials.json"));
  await once(folder, async () => undefined);
  return startPostgres({ major: primary.major, dir: folder });
}

const LOOPBACK = "127.0.0.1";
const OUTSIDE = "/var/tmp/audit-pipeline-postgres-";
const isOurs = (folder: string) => folder.startsWith(OUTSIDE) || folder.startsWith(stateFolder);

const passwordFileOf = (data: string) => `${data}.password`;

interface User {
  uid: number;
  gid: number;
}

/** PostgreSQL and PgBouncer refuse to run as root, so root's servers run as nobody. */
export function serverUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const fields = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find(([name]) => name === "nobody");
  if (fields === undefined)
    throw new Error("PostgreSQL does not run as root, and there is no user nobody to run it as");
  return { uid: Number(fields[2]), gid: Number(fields[3]) };
}

/** Where the server's user cannot reach `folder` (a clone below /root), `folder/data` is a link to a place where it can. */
function dataFolder(folder: string, user: User | undefined): string {
  const data = join(folder, "data");
  if (existsSync(data)) return realpathSync(data);
  rmSync(data, { force: true });
  forget(folder);
  if (user === undefined) {
    mkdirSync(data, { mode: 0o700 });
    return data;
  }
  chmodSync(folder, 0o711);
  if (reachableByOthers(folder)) mkdirSync(data, { mode: 0o700 });
  else symlinkSync(mkdtempSync(OUTSIDE), data);
  const real = realpathSync(data);
  chownSync(real, user.uid, user.gid);
  return real;
}

interface Credentials {
  superuser: Login;
  admin: Login;
}

function loadCredentials(folder: string): Credentials {
  const file = join(folder, "credentials.json");
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as Credentials;
  const login = (user: string) => ({ user, password: randomBytes(18).toString("base64url") });
  const credentials = { superuser: login("postgres"), admin: login("audit_admin") };
  writeFileSync(file, JSON.stringify(credentials), { mode: 0o600 });
  return credentials;
}

async function initialise(native: string, data: string, superuser: Login, user: User | undefined): Promise<void> {
  emptyFolder(data);
  const locale = process.platform === "darwin" ? "--locale=C" : "--locale=C.UTF-8";
  const passwordFile = passwordFileOf(data);
  writeFileSync(passwordFile, superuser.password, { mode: 0o600 });
  if (user !== undefined) chownSync(passwordFile, user.uid, user.gid);
  const access = ["-U", superuser.user, "-A", "scram-sha-256", "--pwfile", passwordFile];
  try {
    await run(join(native, "bin/initdb"), ["-D", data, ...access, "-E", "UTF8", locale, "--no-sync"], {
      cwd: data,
      ...user,
    });
  } finally {
    rmSync(passwordFile);
  }
}

/** initdb lets in loopback only. */
function letInEveryAddress(data: string): void {
  const file = join(data, "pg_hba.conf");
  const line = "host all all all scram-sha-256\n";
  if (!readFileSync(file, "utf8").includes(line)) appendFileSync(file, line);
}

/** What an interrupted initdb left would make the next one refuse. */
function emptyFolder(folder: string): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
}

const defaults = (host: string, port: number) => ({
  port: String(port),
  listen_addresses: host,
  unix_socket_directories: "",
  max_connections: "200",
  shared_buffers: "64MB",
  // In the data folder, so that a killed server leaves nothing outside it.
  dynamic_shared_memory_type: "mmap",
});

const flags = (settings: Record<string, string>) =>
  Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);

async function ensureAdmin(server: { host: string; port: number }, { superuser, admin }: Credentials): Promise<void> {
  const client = new pg.Client({ ...server, ...superuser, database: "postgres" });
  await client.connect();
  try {
    const { rowCount } = await client.query("select from pg_roles where rolname = $1", [admin.user]);
    const role = `${pg.escapeIdentifier(admin.user)} login createdb createrole password`;
    if (rowCount === 0) await client.query(`create role ${role} ${pg.escapeLiteral(admin.password)}`);
  } finally {
    await client.end();
  }
}
