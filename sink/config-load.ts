import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { type SinkConfig, sinkConfig } from "./config.ts";
import { type Setting, settingsOf } from "./config-env.ts";

/** Every problem of the configuration, each with the path or the variable it is about. Values are never shown. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The configuration has ${problems.length} problem(s)`);
    this.problems = problems;
  }
}

/** `AUDIT_SINK__A__B` over the file at `CONFIG_PATH` over defaults. Throws ConfigError. */
export function loadConfig(environment: NodeJS.ProcessEnv): SinkConfig {
  const problems: string[] = [];
  const document = readDocument(environment.CONFIG_PATH, problems);
  const { settings, problems: unknown } = settingsOf(environment, sinkConfig);
  problems.push(...unknown);
  for (const setting of settings) put(document, setting);

  const result = sinkConfig.safeParse(document);
  if (result.success && problems.length === 0) return result.data;
  for (const issue of result.error?.issues ?? []) {
    const path = issue.path.map(String);
    const from = settings.findLast((setting) => setting.path.join(".") === path.join("."))?.name;
    problems.push(`${path.join(".") || "(top level)"}${from === undefined ? "" : ` (from ${from})`}: ${issue.message}`);
  }
  throw new ConfigError(problems);
}

type Document = Record<string, unknown>;

function readDocument(path: string | undefined, problems: string[]): Document {
  if (path === undefined || path === "") return {};
  try {
    const parsed: unknown = parse(readFileSync(path, "utf8")) ?? {};
    if (isDocument(parsed)) return parsed;
    problems.push(`CONFIG_PATH: ${path} does not hold a YAML mapping`);
  } catch (error) {
    const { code } = error as { code?: string };
    problems.push(`CONFIG_PATH: cannot read ${path}${code === undefined ? "" : ` (${code})`}`);
  }
  return {};
}

function put(document: Document, { path, value }: Setting): void {
  let at = document;
  for (const key of path.slice(0, -1)) {
    const next = at[key];
    if (isDocument(next)) at = next;
    else {
      const made: Document = {};
      at[key] = made;
      at = made;
    }
  }
  const last = path.at(-1);
  if (last !== undefined) at[last] = value;
}

const isDocument = (value: unknown): value is Document =>
  typeof value === "object" && value !== null && !Array.isArray(value);
