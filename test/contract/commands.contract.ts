import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Ended } from "../cli/run.ts";

/**
 * What the commands print of the same resources, whatever keeps them: in the namespace team-a (or another that begins with
 * it) an AuditTopic `one`, not Ready because of BackendNotFound and with a warning event of that, and a Secret `login`.
 */
export interface Commands {
  /** Runs a command to its end; it needs no flag that says where. */
  cli(...args: string[]): Promise<Ended>;
  readonly namespace: string;
  /** One that holds nothing. */
  readonly empty: string;
  /** The Secret's password. */
  readonly password: string;
}

export function commandsContract(what: string, commands: () => Commands): void {
  const cli = (...args: string[]) => commands().cli(...args);
  const inTeam = (...args: string[]) => cli(...args, "-n", commands().namespace);

  describe(`${what}: get`, () => {
    test("prints a table like kubectl's", async () => {
      const { code, stdout, stderr } = await inTeam("get", "audittopic");
      expect(stdout.split("\n")[0]).toMatch(/^NAME +TOPIC +PARTITIONS +RF +POLICY +READY +AGE$/);
      expect(stdout.split("\n")[1]).toMatch(/^one +Retain +False +\w+$/);
      expect([code, stderr]).toEqual([0, ""]);
    });

    test.for(["at", "audittopics", "AuditTopic", "audittopics.auditpipeline.io", "audit"])(
      "takes %s for the kind",
      async (kind) => {
        expect((await inTeam("get", kind, "-o", "name")).stdout).toContain("audittopic.auditpipeline.io/one\n");
      },
    );

    test("of one object prints it, of many a List, and of neither who set which field", async () => {
      const one = JSON.parse((await inTeam("get", "at", "one", "-o", "json")).stdout) as { kind: string };
      expect(one.kind).toBe("AuditTopic");
      const slash = parse((await inTeam("get", "at/one", "-o", "yaml")).stdout) as { kind: string };
      expect(slash.kind).toBe("AuditTopic");
      const { stdout } = await inTeam("get", "at", "-o", "json");
      const many = JSON.parse(stdout) as { kind: string; items: unknown[] };
      expect([many.kind, many.items.length]).toEqual(["List", 1]);
      expect(stdout).not.toContain("managedFields");
    });

    test("without resources prints nothing to stdout, and an empty List as JSON", async () => {
      const { empty } = commands();
      expect(await cli("get", "pods", "-n", empty)).toEqual({
        code: 0,
        stdout: "",
        stderr: `No resources found in ${empty} namespace.\n`,
      });
      const { stdout } = await cli("get", "pods", "-n", empty, "-o", "json");
      expect(JSON.parse(stdout)).toMatchObject({ items: [] });
    });

    test("-A shows every namespace, and is no place to look for a name", async () => {
      expect((await cli("get", "at", "-A")).stdout).toMatch(/^NAMESPACE +NAME .*\n(.*\n)*team-a\S* +one /);
      expect(await cli("get", "at", "one", "-A")).toMatchObject({ code: 2, stderr: expect.stringContaining("-n") });
    });

    test("what is not there ends with 1", async () => {
      const { code, stderr } = await inTeam("get", "at", "none");
      expect([code, stderr]).toEqual([1, 'audittopic.auditpipeline.io "none" not found\n']);
    });

    test("events are shown with how often and when they were seen", async () => {
      const { stdout } = await inTeam("get", "events");
      expect(stdout).toMatch(/^LAST SEEN +TYPE +REASON +OBJECT +COUNT +MESSAGE\n/);
      expect(stdout).toMatch(/^\w+ +Warning +BackendNotFound +audittopic\/one +[1-9]\d* +\S/m);
    });
  });

  describe(`${what}: secrets`, () => {
    test("are shown as base64 by -o yaml, as by kubectl, and nowhere else", async () => {
      const { password } = commands();
      const { stdout: text } = await inTeam("get", "secret", "login", "-o", "yaml");
      const yaml = parse(text) as { data: Record<string, string> };
      expect(Buffer.from(yaml.data["password"] ?? "", "base64").toString()).toBe(password);
      const encoded = Buffer.from(password).toString("base64");
      for (const args of [
        ["get", "secrets"],
        ["get", "secrets", "-o", "wide"],
        ["describe", "secret", "login"],
        ["get", "events"],
      ]) {
        const { stdout, stderr, code } = await inTeam(...args);
        expect(code).toBe(0);
        expect(stdout + stderr).not.toContain(password);
        expect(stdout + stderr).not.toContain(encoded);
      }
    });
  });

  describe(`${what}: describe, status, wait`, () => {
    test("describe shows the object and its events", async () => {
      const { stdout } = await inTeam("describe", "at", "one");
      expect(stdout).toContain("Name: one\n");
      expect(stdout).toMatch(/Events:\n.*\n +Warning +BackendNotFound +\w+ \(x\d+\) /);
    });

    test("status gives the verdict first", async () => {
      const { stdout } = await inTeam("status", "one");
      expect(stdout.split("\n")[0]).toMatch(/^AuditTopic team-a\S*\/one: Ready=False BackendNotFound: /);
      expect((await inTeam("status", "none")).code).toBe(1);
    });

    test("wait ends with 0 where it is so, and with 1 at its timeout, with what it last saw", async () => {
      expect((await inTeam("wait", "at/one", "--for=condition=Ready=False", "--timeout", "20s")).code).toBe(0);
      const { code, stderr } = await inTeam("wait", "at/one", "--for=condition=Ready", "--timeout", "500ms");
      expect(code).toBe(1);
      expect(stderr).toMatch(/^timed out waiting on audittopic.auditpipeline.io\/one: Ready=False BackendNotFound/);
      expect((await inTeam("wait", "at/none", "--for=condition=Ready", "--timeout", "300ms")).stderr).toContain(
        "not found",
      );
    });
  });
}
