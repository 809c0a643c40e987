import type { z } from "zod";

/** One value of the environment and where it belongs in the configuration. */
export interface Setting {
  readonly name: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

export interface EnvironmentSettings {
  readonly settings: readonly Setting[];
  readonly problems: readonly string[];
}

const PREFIX = "AUDIT_SINK__";

/** Names that earlier systems used, taken as they are. Those of a gateway or of another store mean nothing here. */
const aliases: Readonly<Record<string, readonly [path: string, scale?: number]>> = {
  DB_HOST: ["store.postgres.host"],
  DB_PORT: ["store.postgres.port"],
  DB_NAME: ["store.postgres.database"],
  DB_USER: ["store.postgres.user"],
  DB_PASSWORD: ["store.postgres.password"],
  AUDIT_MANAGER__KAFKA__BOOTSTRAP_SERVERS: ["kafka.bootstrapServers"],
  AUDIT_MANAGER__KAFKA__TOPIC: ["source.topic"],
  AUDIT_BATCH_SIZE: ["delivery.batchSize"],
  AUDIT_FLUSH_INTERVAL_SECONDS: ["delivery.flushInterval", 1_000],
  AUDIT_RETRY_BACKOFF_SECONDS: ["delivery.retry.initial", 1_000],
  AUDIT_RETRY_BACKOFF_MULTIPLIER: ["delivery.retry.multiplier"],
  AUDIT_MAX_BODY_SIZE: ["events.maxSize"],
  UVICORN_LOG_LEVEL: ["logLevel"],
};

const refused: Readonly<Record<string, string>> = {
  AUDIT_ENABLED: "set spec.suspend of the AuditPipeline instead: an audit trail is not switched off by a variable",
  AUDIT_MANAGER__DATABASE__PARTITION_RETENTION_MONTHS: "retention belongs to the AuditPipeline, not to a sink",
  UVICORN_WORKERS: "set spec.workload.replicas of the AuditPipeline instead",
  AUDIT_RETRY_ATTEMPTS: "there is nothing to set: a failed write is retried for ever, see delivery.retry",
};

/** What the environment says, by the schema's own names: AUDIT_SINK__KAFKA__BOOTSTRAP_SERVERS is kafka.bootstrapServers. */
export function settingsOf(environment: NodeJS.ProcessEnv, schema: z.ZodType): EnvironmentSettings {
  const settings: Setting[] = [];
  const problems: string[] = [];

  for (const [name, text] of Object.entries(environment)) {
    if (text === undefined) continue;
    const alias = Object.hasOwn(aliases, name) ? aliases[name] : undefined;
    if (Object.hasOwn(refused, name)) problems.push(`${name}: ${refused[name]}`);
    else if (alias !== undefined) {
      const [path, scale = 1] = alias;
      const found = locate(schema, path.split("."));
      const value = name === "UVICORN_LOG_LEVEL" ? logLevel(text) : text;
      if (found !== undefined) settings.push({ name, path: found.path, value: convert(found.type, value, scale) });
    } else if (name.startsWith(PREFIX)) {
      const found = locate(schema, name.slice(PREFIX.length).split("__"));
      if (found === undefined) problems.push(`${name}: no such setting`);
      else settings.push({ name, path: found.path, value: convert(found.type, text, 1) });
    }
  }
  // An alias gives way to the name of our own.
  settings.sort((a, b) => Number(a.name.startsWith(PREFIX)) - Number(b.name.startsWith(PREFIX)));
  return { settings, problems };
}

const levels: Readonly<Record<string, string>> = { trace: "debug", warning: "warn", critical: "error" };

/** uvicorn's names in any case; ours has fewer. */
function logLevel(text: string): string {
  const level = text.toLowerCase();
  return Object.hasOwn(levels, level) ? (levels[level] ?? level) : level;
}

interface Located {
  readonly path: readonly string[];
  readonly type: string;
}

const plain = (name: string) => name.replaceAll("_", "").toLowerCase();

/** Follows names through objects of the schema, whatever their case and underscores. */
function locate(schema: z.ZodType, names: readonly string[]): Located | undefined {
  let at = unwrapped(schema);
  const path: string[] = [];
  for (const name of names) {
    const shape = at.shape;
    const key = shape && Object.keys(shape).find((candidate) => plain(candidate) === plain(name));
    if (shape === undefined || key === undefined || shape[key] === undefined) return undefined;
    at = unwrapped(shape[key]);
    path.push(key);
  }
  return at.shape === undefined ? { path, type: at.type } : undefined;
}

interface Unwrapped {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
}

function unwrapped(schema: z.ZodType): Unwrapped {
  let at: unknown = schema;
  for (;;) {
    const { def, shape } = at as { def: { type: string; innerType?: unknown }; shape?: Record<string, z.ZodType> };
    if (def.innerType === undefined) return shape === undefined ? { type: def.type } : { type: def.type, shape };
    at = def.innerType;
  }
}

/** Text stays text where the schema wants text: a password may be made of digits. */
function convert(type: string, text: string, scale: number): unknown {
  if (type === "array") return text.split(",").map((part) => part.trim());
  if (type === "boolean") return text === "true" ? true : text === "false" ? false : text;
  if (type === "number" || type === "int") {
    const number = Number(text);
    return text.trim() === "" || Number.isNaN(number) ? text : scale === 1 ? number : Math.round(number * scale);
  }
  return text;
}
