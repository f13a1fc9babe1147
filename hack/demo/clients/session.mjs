// A session of jmap-jam, a JMAP library that others wrote, with a running demonstration.
//
//   node session.mjs SENDER RECIPIENT "NAME OF A SHARED MAILBOX" <access.json
//
// Two people of one region use their mail as an app would. The session ends with 0 when
// everything was as it has to be, and tells on standard error what was not.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import JamClient from "jmap-jam";
import { routed } from "./route.mjs";

const patience = 60_000;

// open returns what the rest needs of a person: the client and the accounts.
async function open(person, sharedName) {
  const jam = new JamClient({ sessionUrl: person.sessionUrl, bearerToken: person.token });
  const session = await jam.session;
  const accountId = await jam.getPrimaryAccount();
  assert.equal(accountId, person.accountId, `${person.address}: the primary account`);
  assert.equal(session.accounts[accountId].name, person.accountName, `${person.address}: the name of the account`);
  const others = Object.entries(session.accounts).filter(([id]) => id !== accountId);
  assert.deepEqual(others.map(([, account]) => account.name), [sharedName], `${person.address}: the second account`);
  assert.equal(others[0][1].isPersonal, false, `${person.address}: the second account is shared`);
  return { jam, accountId, sharedId: others[0][0], address: person.address };
}

// roles returns the identifiers of the mailboxes of an account by their roles.
async function roles({ jam }, accountId) {
  const [{ list }] = await jam.api.Mailbox.get({ accountId });
  return Object.fromEntries(list.filter((box) => box.role).map((box) => [box.role, box.id]));
}

// until repeats a question until it has an answer.
async function until(what, ask) {
  for (const end = Date.now() + patience; ; await pause(100)) {
    const answer = await ask();
    if (answer) {
      return answer;
    }
    assert.ok(Date.now() < end, `${what}: still not so after ${patience} ms`);
  }
}

// read asserts that the newest messages are listed by one request that refers back, and
// that the second account has an inbox which can be read.
async function read(person) {
  const { jam, accountId, sharedId, address } = person;
  const [{ found, messages }] = await jam.requestMany((t) => {
    const found = t.Email.query({ accountId, limit: 5, sort: [{ property: "receivedAt", isAscending: false }] });
    const messages = t.Email.get({ accountId, ids: found.$ref("/ids"), properties: ["id", "subject"] });
    return { found, messages };
  });
  assert.equal(found.ids.length, 5, `${address}: the newest messages`);
  assert.deepEqual(messages.list.map((message) => message.id).sort(), [...found.ids].sort(), `${address}: the messages found`);
  assert.ok((await roles(person, sharedId)).inbox, `${address}: an inbox in the second account`);
  await jam.api.Email.query({ accountId: sharedId, limit: 1 });
}

// send writes a draft, submits it, and returns the identifiers of both.
async function send({ jam, accountId, address }, to, subject, text) {
  const boxes = await roles({ jam }, accountId);
  const [{ list: identities }] = await jam.api.Identity.get({ accountId });
  const identity = identities.find((candidate) => candidate.email === address);
  assert.ok(identity, `${address}: an identity for the own address`);
  const [draft] = await jam.api.Email.set({
    accountId,
    create: {
      draft: {
        mailboxIds: { [boxes.drafts]: true },
        keywords: { $draft: true, $seen: true },
        from: [{ name: identity.name, email: identity.email }],
        to: [{ name: null, email: to }],
        subject,
        bodyValues: { text: { value: text } },
        textBody: [{ partId: "text", type: "text/plain" }],
      },
    },
  });
  assert.ok(draft.created?.draft, `${address}: write: ${JSON.stringify(draft.notCreated)}`);
  const id = draft.created.draft.id;
  // In a request of its own: the library keeps one response of each call, and the change
  // of the message is a second one (RFC 8621 section 7.5).
  const [submission] = await jam.api.EmailSubmission.set(
    {
      accountId,
      create: { sending: { identityId: identity.id, emailId: id } },
      onSuccessUpdateEmail: {
        "#sending": { [`mailboxIds/${boxes.drafts}`]: null, [`mailboxIds/${boxes.sent}`]: true, "keywords/$draft": null },
      },
    },
    { using: ["urn:ietf:params:jmap:mail"] },
  );
  assert.ok(submission.created?.sending, `${address}: submit: ${JSON.stringify(submission.notCreated)}`);
  const [{ list: [sent] }] = await jam.api.Email.get({ accountId, ids: [id], properties: ["mailboxIds", "keywords"] });
  assert.deepEqual(sent.mailboxIds, { [boxes.sent]: true }, `${address}: where the sent message is`);
  assert.deepEqual(sent.keywords, { $seen: true }, `${address}: the keywords of the sent message`);
  return { id, submissionId: submission.created.sending.id };
}

// correspond sends a message, and asserts that it is delivered, found and read.
async function correspond(sender, recipient) {
  const word = `jam${randomUUID().replaceAll("-", "")}`;
  const text = `Grüße aus der Region, ${word} ✓\n`;
  const sent = await send(sender, recipient.address, "Ein Gruß — καλημέρα", text);
  await until("delivery", async () => {
    const [{ list }] = await sender.jam.api.EmailSubmission.get({ accountId: sender.accountId, ids: [sent.submissionId] });
    return Object.values(list[0].deliveryStatus ?? {}).every((status) => status.delivered === "yes");
  });
  const { jam, accountId } = recipient;
  const [{ ids }] = await jam.api.Email.query({ accountId, filter: { text: word } });
  assert.equal(ids.length, 1, `${recipient.address}: messages found`);
  const properties = ["subject", "from", "blobId", "mailboxIds", "textBody", "bodyValues"];
  const [{ list: [message] }] = await jam.api.Email.get({ accountId, ids, properties, fetchTextBodyValues: true });
  assert.equal(message.subject, "Ein Gruß — καλημέρα");
  assert.equal(message.from[0].email, sender.address);
  assert.deepEqual(message.mailboxIds, { [(await roles(recipient, accountId)).inbox]: true });
  assert.equal(message.bodyValues[message.textBody[0].partId].value, text);
  const raw = await jam.downloadBlob({ accountId, blobId: message.blobId, mimeType: "message/rfc822", fileName: "letter.eml" });
  assert.match(await raw.text(), /^Subject: /m, "the message as it came");
  await destroy(sender, [sent.id]);
  await destroy(recipient, ids);
}

async function destroy({ jam, accountId, address }, ids) {
  const [{ destroyed, notDestroyed }] = await jam.api.Email.set({ accountId, destroy: ids });
  assert.deepEqual(destroyed, ids, `${address}: destroy: ${JSON.stringify(notDestroyed)}`);
}

// arrange makes a mailbox, names it anew and destroys it.
async function arrange({ jam, accountId, address }) {
  const [made] = await jam.api.Mailbox.set({ accountId, create: { box: { name: "Réunions" } } });
  assert.ok(made.created?.box, `${address}: make a mailbox: ${JSON.stringify(made.notCreated)}`);
  const id = made.created.box.id;
  const [named] = await jam.api.Mailbox.set({ accountId, ifInState: made.newState, update: { [id]: { name: "Archives" } } });
  assert.ok(id in (named.updated ?? {}), `${address}: rename a mailbox: ${JSON.stringify(named.notUpdated)}`);
  const [{ list }] = await jam.api.Mailbox.get({ accountId, ids: [id], properties: ["name"] });
  assert.equal(list[0].name, "Archives");
  const [gone] = await jam.api.Mailbox.set({ accountId, destroy: [id] });
  assert.deepEqual(gone.destroyed, [id], `${address}: destroy a mailbox: ${JSON.stringify(gone.notDestroyed)}`);
}

// store uploads a file and downloads it again.
async function store({ jam, accountId }) {
  const text = "Fünf Ämter\n";
  const { blobId, size } = await jam.uploadBlob(accountId, text);
  assert.equal(size, Buffer.byteLength(text));
  const file = await jam.downloadBlob({ accountId, blobId, mimeType: "text/plain", fileName: "note.txt" });
  assert.equal(await file.text(), text);
}

async function main([senderAddress, recipientAddress, sharedName]) {
  const { clouds } = JSON.parse(readFileSync(0, "utf8"));
  const people = clouds.flatMap((cloud) => cloud.people);
  const named = [senderAddress, recipientAddress].map((address) => {
    const person = people.find((candidate) => candidate.address === address);
    assert.ok(person, `"${address}": nobody of the access document has this address`);
    return person;
  });
  const route = routed(people);
  globalThis.fetch = route.fetch; // what jmap-jam calls
  try {
    const [sender, recipient] = await Promise.all(named.map((person) => open(person, sharedName)));
    await read(sender);
    await read(recipient);
    await correspond(sender, recipient);
    await correspond(recipient, sender);
    await arrange(sender);
    await store(sender);
  } finally {
    await route.close();
  }
}

try {
  await main(process.argv.slice(2));
} catch (failure) {
  // jmap-jam throws what the server answered, which is no Error.
  console.error(failure instanceof Error ? failure.stack : JSON.stringify(failure));
  process.exitCode = 1;
}
