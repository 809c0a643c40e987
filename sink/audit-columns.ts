import { RejectedError } from "./event.ts";
import { columnText, fitsIndex } from "./text.ts";

/** The columns that data fills. In profile AuditEvent actorId, action and outcome are never null. */
export interface AuditColumns {
  readonly actorType: string | null;
  readonly actorId: string | null;
  readonly action: string | null;
  readonly outcome: string | null;
  readonly reason: string | null;
  readonly targetType: string | null;
  readonly targetId: string | null;
}

type Json = Record<string, unknown>;

const outcomes = new Set(["success", "failure", "denied"]);
const none: AuditColumns = {
  actorType: null,
  actorId: null,
  action: null,
  outcome: null,
  reason: null,
  targetType: null,
  targetId: null,
};

/**
 * Profile AuditEvent: data.actor.id, data.action and data.outcome are required, and what is there must be text.
 * Profile CloudEvent: data may be anything; a column is null where data has no text for it.
 */
export function auditColumns(data: unknown, profile: "AuditEvent" | "CloudEvent"): AuditColumns {
  const columns = profile === "AuditEvent" ? strictColumns(data) : looseColumns(object(data));
  fitsIndex("data.actor.id", columns.actorId);
  fitsIndex("data.action and data.outcome", columns.action, columns.outcome);
  fitsIndex("data.target.id", columns.targetId);
  return columns;
}

function strictColumns(data: unknown): AuditColumns {
  if (data === undefined || data === null) throw missing("data");
  const fields = member("data", data);
  const actor = fields.actor === undefined ? {} : member("data.actor", fields.actor);
  const [targetName, target] = targetOf(fields);

  const outcome = required("data.outcome", fields.outcome);
  if (!outcomes.has(outcome)) {
    throw new RejectedError("Invalid", "InvalidValue", "data.outcome must be success, failure or denied");
  }
  return {
    actorType: optional("data.actor.type", actor.type) ?? "user",
    actorId: required("data.actor.id", actor.id),
    action: required("data.action", fields.action),
    outcome,
    reason: optional("data.reason", fields.reason),
    targetType: optional(`${targetName}.type`, target.type),
    targetId: optional(`${targetName}.id`, target.id),
  };
}

function targetOf(fields: Json): [name: string, target: Json] {
  const name = isAbsent(fields.target) ? "resource" : "target";
  const value = fields[name];
  return [`data.${name}`, isAbsent(value) ? {} : member(`data.${name}`, value)];
}

function looseColumns(data: Json | undefined): AuditColumns {
  if (data === undefined) return none;
  const actor = object(data.actor);
  const target = object(data.target) ?? object(data.resource);
  const actorId = textOrNull("data.actor.id", actor?.id);
  return {
    actorType: textOrNull("data.actor.type", actor?.type) ?? (actorId === null ? null : "user"),
    actorId,
    action: textOrNull("data.action", data.action),
    outcome: textOrNull("data.outcome", data.outcome),
    reason: textOrNull("data.reason", data.reason),
    targetType: textOrNull("data.target.type", target?.type),
    targetId: textOrNull("data.target.id", target?.id),
  };
}

export function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function member(name: string, value: unknown): Json {
  const found = object(value);
  if (found === undefined) throw new RejectedError("Invalid", "InvalidValue", `${name} must be an object`);
  return found;
}

function required(name: string, value: unknown): string {
  const text = optional(name, value);
  if (text === null) throw missing(name);
  if (text === "") throw new RejectedError("Invalid", "InvalidValue", `${name} must not be empty`);
  return text;
}

function optional(name: string, value: unknown): string | null {
  if (isAbsent(value)) return null;
  if (typeof value !== "string") throw new RejectedError("Invalid", "InvalidValue", `${name} must be a string`);
  return columnText(name, value);
}

const textOrNull = (name: string, value: unknown) => (typeof value === "string" ? columnText(name, value) : null);
const isAbsent = (value: unknown) => value === undefined || value === null;
const missing = (name: string) => new RejectedError("Invalid", "MissingField", `${name} is required`);
