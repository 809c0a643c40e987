import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");

const refused = [
  ["crds/a.ts", "../operator/config.ts"],
  ["operator/desired/a.ts", "../plan/topic.ts"],
  ["operator/desired/b.ts", "../../sink/kafka/port.ts"],
  ["operator/desired/c.ts", "pg"],
  ["operator/plan/a.ts", "@platformatic/kafka"],
  ["operator/plan/b.ts", "node:fs"],
  ["operator/plan/c.ts", "../external/topic.ts"],
  ["operator/external/a.ts", "../controllers/topic.ts"],
  ["operator/controllers/a.ts", "kafkajs"],
  ["operator/runtime/a.ts", "../desired/topic.ts"],
  ["operator/runtime/b.ts", "../../crds/rules.ts"],
  ["operator/errors.ts", "./config.ts"],
  ["operator/cli/a.ts", "pg-copy-streams"],
  ["operator/cli/b.ts", "../../hack/servers/kafka.ts"],
  ["sink/a.ts", "../operator/errors.ts"],
  ["hack/demo/a.ts", "../../operator/errors.ts"],
  ["hack/demo.ts", "../sink/config.ts"],
] as const;

const allowed = [
  ["crds/b.ts", "zod"],
  ["operator/desired/d.ts", "../../sink/config.ts"],
  ["operator/plan/d.ts", "../desired/topic.ts"],
  ["operator/external/b.ts", "pg"],
  ["operator/controllers/b.ts", "../external/topic.ts"],
  ["operator/runtime/c.ts", "../errors.ts"],
  ["operator/desired/e.test.ts", "vitest"],
  ["sink/kafka/b.ts", "@platformatic/kafka"],
  ["hack/demo/b.ts", "./operator.ts"],
  ["hack/demo/c.ts", "../servers/kafka.ts"],
] as const;

describe("import direction", () => {
  const folder = mkdtempSync(join(tmpdir(), "layers-"));
  let findings: string[];

  beforeAll(async () => {
    copyFileSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
    for (const [file, from] of [...refused, ...allowed]) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), `import type { x } from "${from}";\nexport type Y = typeof x;\n`);
    }
    findings = await restrictedImports(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.for(refused)("%s may not import %s", ([file, from]) => {
    expect(findings).toContain(`${file} ${from}`);
  });

  test.for(allowed)("%s may import %s", ([file, from]) => {
    expect(findings).not.toContain(`${file} ${from}`);
  });
});

/** @returns "file import" for each import that the rules refuse. */
function restrictedImports(cwd: string): Promise<string[]> {
  const args = ["-f", "unix", "-A", "all", "-D", "no-restricted-imports"];
  return new Promise((done) => {
    execFile(join(root, "node_modules/.bin/oxlint"), args, { cwd }, (_, output) => {
      const found = output.matchAll(/^(\S+?):\d+:\d+: '([^']+)' import is restricted/gm);
      done([...found].map(([, file, from]) => `${file} ${from}`));
    });
  });
}
