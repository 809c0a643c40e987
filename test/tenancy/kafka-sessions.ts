import { Connection, type ConnectionOptions } from "@platformatic/kafka";
import type { Answer } from "./matrix.ts";

const TIMEOUT_MS = 20_000;
/** The connection ended, or asks for TLS. */
const CLOSED = new Set(["PLT_KFK_NETWORK", "PLT_KFK_USER"]);

/** One connection of one principal, as a client opens it. */
export async function kafkaSession(address: string, link: ConnectionOptions): Promise<Connection> {
  const timeouts = { connectTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS };
  const connection = new Connection("tenancy", { ...timeouts, ...link });
  connection.on("error", () => undefined);
  const [host = "", port = ""] = address.split(":");
  try {
    await connection.connect(host, Number(port));
    return connection;
  } catch (error) {
    connection.socket?.destroy();
    throw error;
  }
}

/** "yes", or the codes of Kafka's protocol; a connection that is not let in at all is "refused", or "closed". */
export async function kafkaAnswer(asked: Promise<unknown>): Promise<Answer> {
  try {
    await asked;
    return "yes";
  } catch (error) {
    const codes = [...new Set(codesOf(error))];
    if (codes.length > 0) return codes.join(" ");
    throw error;
  }
}

function codesOf(error: unknown): string[] {
  if (typeof error !== "object" || error === null) return [];
  const { apiId, code, cause } = error as { apiId?: string; code?: string; cause?: unknown };
  const nested = [...(error instanceof AggregateError ? error.errors : []), cause].flatMap(codesOf);
  if (apiId !== undefined) return [apiId, ...nested];
  if (code === "PLT_KFK_AUTHENTICATION") return ["refused"];
  if (code === "PLT_KFK_TIMEOUT") return ["no answer"];
  if (nested.length === 0 && code !== undefined && CLOSED.has(code)) return ["closed"];
  return nested;
}
