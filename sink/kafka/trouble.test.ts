import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Certificate } from "../../hack/servers/certificates.ts";
import { type SharedSecuredKafka, securedKafka } from "../../test/support/secured-kafka.ts";
import { kafkaClient } from "./client.ts";
import type { KafkaConnection } from "./port.ts";
import { troubleOf } from "./trouble.ts";

let broker: SharedSecuredKafka;
beforeAll(async () => {
  broker = await securedKafka();
});
afterAll(() => broker.remove());

const text = (file: string) => readFileSync(file, "utf8");
const ca = () => ({ ca: text(broker.caFile) });
const shown = ({ certFile, keyFile }: Certificate) => ({ ...ca(), cert: text(certFile), key: text(keyFile) });
const login = (password = broker.admin.password) =>
  ({ mechanism: "SCRAM-SHA-512", username: "admin", password }) as const;

describe.each(["platformatic", "kafkajs"] as const)("what fails between %s and a broker has a name:", (name) => {
  async function reasonOf(address: string, link: Pick<KafkaConnection, "tls" | "sasl">): Promise<string | undefined> {
    const reader = (await kafkaClient(name)).createReader(
      { clientId: "test", bootstrapServers: [address], ...link },
      {
        ...{ topic: "missing", groupId: "g", sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000 },
        ...{ heartbeatIntervalMs: 3_000, maxBytesPerPartition: 1_000_000, maxBytes: 1_000_000 },
      },
    );
    try {
      await reader.open();
      return undefined;
    } catch (error) {
      return troubleOf(error)?.reason;
    } finally {
      await reader.close();
    }
  }

  test("a login that works", async () => {
    expect(await reasonOf(broker.saslSsl, { tls: ca(), sasl: login() })).toBe("TopicMissing");
    expect(await reasonOf(broker.mtls, { tls: shown(broker.adminCertificate) })).toBe("TopicMissing");
  });

  test("a wrong password", async () => {
    expect(await reasonOf(broker.saslSsl, { tls: ca(), sasl: login("wrong") })).toBe("KafkaAuthenticationFailed");
  });

  test("a login without rights", async () => {
    const link = { tls: shown(broker.clientCertificate("nobody")) };
    expect(await reasonOf(broker.mtls, link)).toBe("KafkaAuthorizationFailed");
  });

  test("a wrong authority, an expired certificate, another host", async () => {
    const other = { ca: text(broker.otherCaFile) };
    expect(await reasonOf(broker.saslSsl, { tls: other, sasl: login() })).toBe("KafkaTlsFailed");
    expect(await reasonOf(broker.expired, { tls: ca(), sasl: login() })).toBe("KafkaTlsFailed");
    expect(await reasonOf(broker.otherHost, { tls: ca(), sasl: login() })).toBe("KafkaTlsFailed");
  });

  test("a client's certificate that the broker does not take", async () => {
    expect(await reasonOf(broker.mtls, { tls: shown(broker.strangersCertificate) })).toBe("KafkaTlsFailed");
  });

  test("nobody there", async () => {
    expect(await reasonOf("127.0.0.1:1", {})).toBe("KafkaUnreachable");
  });
});

test("the detail of a trouble tells no address", () => {
  const error = new AggregateError([new Error("connect 10.0.0.1:9093", { cause: { code: "CERT_HAS_EXPIRED" } })]);
  expect(troubleOf(error)).toBeUndefined();
  const expired = Object.assign(new Error("10.0.0.1:9093"), { code: "CERT_HAS_EXPIRED" });
  expect(troubleOf(new AggregateError([expired]))).toEqual({
    reason: "KafkaTlsFailed",
    detail: "no TLS connection came about (CERT_HAS_EXPIRED)",
  });
});
