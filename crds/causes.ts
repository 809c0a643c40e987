import type { z } from "zod";
import { isRecord, type Node, nodeOf } from "./schema-tree.ts";

/** One thing that is wrong, for people and for the API's `causes`. `message` is the whole sentence. */
export interface Cause {
  /** As in `spec.sinks[0].name`; empty for the object as a whole. */
  field: string;
  found: string;
  allowed: string;
  message: string;
}

export function cause(field: string, found: string, allowed: string): Cause {
  return { field, found, allowed, message: `${field || "object"}: found ${found}; ${allowed}` };
}

const LONGEST_SHOWN = 80;

const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** JSON of a value, in ASCII and short enough for a line: a look-alike letter or a turned reading direction shows. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = toJson(value).replaceAll(/[^ -~]/g, escaped);
  return text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN)}… (${text.length} characters)`;
}

/** JSON has no text for functions and bigint, nor for a list that a YAML alias put into itself. */
function toJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? `a ${typeof value}`;
  } catch {
    return `a ${typeof value} that JSON cannot hold`;
  }
}

/** What a schema did not take, in words. One issue can stand for several unknown fields. */
export function causesOf(issue: z.core.$ZodIssue, root: z.core.$ZodType, value: unknown): Cause[] {
  const at = locate(root, value, issue.path);
  if (issue.code === "unrecognized_keys") {
    const known = at.schema === undefined ? [] : fieldsOf(at.schema);
    return issue.keys.map((key) =>
      cause(join(at.field, key), "an unknown field", `allowed are ${known.join(", ")}: ${spelling(key, known)}`),
    );
  }
  if (issue.code === "invalid_key") {
    const rules = issue.issues.map((inner) => allowedBy(inner, inner.input)).join(", ");
    return [cause(at.field, `the key ${show(issue.path.at(-1))}`, rules)];
  }
  return [cause(at.field, show(at.value), allowedBy(issue, at.value))];
}

function allowedBy(issue: z.core.$ZodIssue, found: unknown): string {
  if (found === undefined && issue.code === "invalid_type") return `${article(issue.expected)} is required`;
  switch (issue.code) {
    case "invalid_type":
      return `must be ${article(issue.expected)}${issue.expected === "string" ? ": put it in quotes" : ""}`;
    case "invalid_value":
      return `must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.join(", ")}`;
    case "too_small":
      return issue.origin === "string" ? `must have at least ${amount(issue.minimum, "character")}` : least(issue);
    case "too_big":
      return issue.origin === "string" ? `must have at most ${amount(issue.maximum, "character")}` : most(issue);
    default:
      return `must be ${issue.message}`;
  }
}

const least = ({ origin, minimum }: z.core.$ZodIssueTooSmall) =>
  origin === "array" ? `must have at least ${amount(minimum, "entry", "entries")}` : `must be at least ${minimum}`;

const most = ({ origin, maximum }: z.core.$ZodIssueTooBig) =>
  origin === "array" ? `must have at most ${amount(maximum, "entry", "entries")}` : `must be at most ${maximum}`;

const amount = (count: number | bigint, one: string, many = `${one}s`) =>
  `${count} ${Number(count) === 1 ? one : many}`;

const article = (expected: string) =>
  ({ int: "a whole number", number: "a whole number", object: "an object", array: "a list", record: "a map" })[
    expected
  ] ?? `a ${expected}`;

function spelling(key: string, known: readonly string[]): string {
  const near = known.find((name) => edits(name.toLowerCase(), key.toLowerCase().replaceAll(/[_-]/g, "")) <= 2);
  return near === undefined ? "remove it, or move it where it belongs" : `write ${near}`;
}

/** Levenshtein distance. */
function edits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= to.length; j++) {
      const [above = 0, before = 0, diagonal = 0] = [row[j], next[j - 1], row[j - 1]];
      next.push(Math.min(above + 1, before + 1, diagonal + (letter === to[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length] ?? to.length;
}

const fieldsOf = (schema: z.core.$ZodType): string[] => {
  const node = nodeOf(schema);
  return node.kind === "Object" ? Object.keys(node.fields) : [];
};

const join = (field: string, key: string) => (field === "" ? key : `${field}.${key}`);

/** Follows a path through value and schema, and writes it as the API server would. */
function locate(root: z.core.$ZodType, whole: unknown, path: readonly PropertyKey[]) {
  let schema: z.core.$ZodType | undefined = root;
  let value = whole;
  let field = "";
  for (const step of path) {
    const node: Node | undefined = schema === undefined ? undefined : nodeOf(schema);
    const key = String(step);
    field = typeof step === "number" || node?.kind === "Map" ? `${field}[${key}]` : join(field, key);
    schema = node === undefined || node.kind === "Leaf" ? undefined : below(node, key);
    value = isRecord(value) || Array.isArray(value) ? (value as Record<string, unknown>)[key] : undefined;
  }
  return { schema, value, field };
}

function below(node: Exclude<Node, { kind: "Leaf" }>, key: string): z.core.$ZodType | undefined {
  if (node.kind === "Array") return node.element;
  if (node.kind === "Map") return node.value;
  return Object.hasOwn(node.fields, key) ? node.fields[key] : undefined;
}
