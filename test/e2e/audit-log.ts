import { readFileSync } from "node:fs";

interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly responseStatus?: { readonly code?: number };
}

/** What a user asked the API server for and was not allowed: `verb path`. */
export function refusals(auditLog: string, user: string): string[] {
  const events = eventsOf(auditLog).filter(({ user: { username } }) => username === user);
  if (events.length === 0) throw new Error(`${user} is not in ${auditLog}`);
  return events
    .filter(({ responseStatus }) => responseStatus?.code === 403)
    .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
}

const eventsOf = (auditLog: string) =>
  readFileSync(auditLog, "utf8")
    .split("\n")
    // The last line may be half written.
    .filter((line) => line.endsWith("}"))
    .map((line) => JSON.parse(line) as AuditEvent);
