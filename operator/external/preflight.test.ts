import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { asSuperuser, backendFor, uniqueNamespace } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { operatorConfig } from "../config.ts";
import { probeBackends } from "./preflight.ts";
import { identifier, literal } from "./quote.ts";

const { kafka, postgres18 } = sharedServers();

test("each back-end answers for itself: what is there, what is away, and what its login lacks", async () => {
  const user = uniqueNamespace();
  await asSuperuser(postgres18, "postgres", (client) =>
    client.query(`CREATE ROLE ${identifier(user)} LOGIN CREATEDB PASSWORD ${literal("weak")}`),
  );
  const adminSecretFile = join(mkdtempSync(join(tmpdir(), "preflight-")), "login.yaml");
  writeFileSync(adminSecretFile, JSON.stringify({ username: user, password: "weak" }));
  const { bootstrapServers } = kafka;
  const { backends } = operatorConfig.parse({
    backends: {
      kafka: [
        { name: "default", bootstrapServers },
        { name: "wide", bootstrapServers, replicationFactor: 3 },
        { name: "away", bootstrapServers: ["127.0.0.1:1"] },
      ],
    },
  });
  const postgres = [
    backendFor(postgres18, { name: "default" }),
    backendFor(postgres18, { name: "weak", adminSecretFile }),
  ];
  const found = await probeBackends({ ...backends, postgres });
  expect(found.map(({ backend, ok }) => `${backend} ${ok}`)).toEqual([
    ...["Kafka default true", "Kafka wide false", "Kafka away false"],
    ...["PostgreSQL default true", "PostgreSQL weak false"],
  ]);
  expect(found.find(({ backend }) => backend === "PostgreSQL weak")?.detail).toContain("lacks CREATEROLE");
  expect(JSON.stringify(found)).not.toContain("password");
});
