import { z } from "zod";
import { type Rule, withRules } from "../rules.ts";

/**
 * The allow-lists for names in back-ends. A name that the operator derives (back-end's namePrefix + metadata.name) is
 * held against the same predicates, because an empty prefix can turn `postgres` into a database's name.
 */

/** Databases that belong to PostgreSQL, to a managed service, or that pg_hba.conf reads as a keyword. */
export const RESERVED_DATABASES = [
  "postgres",
  "template0",
  "template1",
  "all",
  "sameuser",
  "samerole",
  "replication",
  "rdsadmin",
  "cloudsqladmin",
  "azure_maintenance",
  "azure_sys",
] as const;

/** `public` is excluded because any role may hold CREATE on it in databases that began before PostgreSQL 15. */
export const RESERVED_SCHEMAS = ["information_schema", "public"] as const;

const quoted = (names: readonly string[]) => `[${names.map((name) => `'${name}'`).join(", ")}]`;

export const isTopicName = (name: string) => topicName.safeParse(name).success && freeTopicName.holds(name);
export const isDatabaseName = (name: string) => databaseName.safeParse(name).success && freeDatabaseName.holds(name);
export const isSchemaName = (name: string) => schemaName.safeParse(name).success && freeSchemaName.holds(name);

/** Kafka's own topics begin with two underscores; `.` and `..` are paths. */
const freeTopicName = {
  kind: "Value",
  cel: "!self.startsWith('__') && !(self in ['.', '..'])",
  message: "is reserved: choose a name that does not begin with __ and is not . or ..",
  holds: (self: string) => !self.startsWith("__") && self !== "." && self !== "..",
} as const satisfies Rule<string>;

/** Roles are named after the database, and PostgreSQL refuses roles that begin with pg_. */
const freeDatabaseName = {
  kind: "Value",
  cel: `!self.startsWith('pg_') && !(self in ${quoted(RESERVED_DATABASES)})`,
  message: "is reserved: choose a database of your own, whose name does not begin with pg_",
  holds: (self: string) => !self.startsWith("pg_") && !(RESERVED_DATABASES as readonly string[]).includes(self),
} as const satisfies Rule<string>;

const freeSchemaName = {
  kind: "Value",
  cel: `!self.startsWith('pg_') && !(self in ${quoted(RESERVED_SCHEMAS)})`,
  message: "is reserved: choose a schema of your own, such as audit, whose name does not begin with pg_",
  holds: (self: string) => !self.startsWith("pg_") && !(RESERVED_SCHEMAS as readonly string[]).includes(self),
} as const satisfies Rule<string>;

export const topicName = withRules(
  z
    .string()
    .min(1)
    .max(249)
    .regex(/^[a-zA-Z0-9._-]+$/, "letters, digits, ., _ and -"),
  freeTopicName,
);
export const databaseName = withRules(
  z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9_][a-z0-9_-]*$/, "lower case letters, digits, _ and -, not - first"),
  freeDatabaseName,
);
export const schemaName = withRules(
  z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z_][a-z0-9_]*$/, "lower case letters, digits and _, no digit first"),
  freeSchemaName,
);
