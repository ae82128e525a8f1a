// What the AWS SDK for JavaScript does with a gateway. Run by test_sdk_js.py, which names the chapter to run;
// ends with 0 where all of it was so.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
  waitUntilObjectExists,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const { CLIENT, BUCKET, ODD_KEYS } = process.env;
const MIB = 1024 * 1024;
const Bucket = BUCKET;

// As docs/connect/sdk-js.md shows: CLIENT is what stands between its `new S3Client(` and `)`.
function connect(secretAccessKey) {
  const settings = Function(`return ${CLIENT}`)();
  if (secretAccessKey) settings.credentials.secretAccessKey = secretAccessKey;
  return new S3Client({ ...settings, maxAttempts: 1 });
}

const s3 = connect();
const put = (Key, Body, more = {}) => s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
const get = (Key, more = {}) => s3.send(new GetObjectCommand({ Bucket, Key, ...more }));
const text = async (Key, more) => (await get(Key, more)).Body.transformToString();
const sum = (data) => createHash("sha256").update(data).digest("hex");

async function keys(Prefix) {
  const found = [];
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 4 }, { Bucket, Prefix })) {
    found.push(...(page.Contents ?? []).map((one) => one.Key));
  }
  return found;
}

const chapters = {
  async story() {
    await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(new HeadBucketCommand({ Bucket }));
    await put("small", "0123456789");
    assert.equal(await text("small"), "0123456789");
    assert.equal(await text("small", { Range: "bytes=2-4" }), "234");

    const big = randomBytes(20_000_017);
    await put("big", big);
    const got = await get("big");
    assert.equal(got.ContentLength, big.length);
    assert.equal(sum(await got.Body.transformToByteArray()), sum(big));

    const odd = JSON.parse(ODD_KEYS);
    for (const key of odd) await put(`odd/${key}`, key);
    assert.deepEqual((await keys("odd/")).sort(), odd.map((key) => `odd/${key}`).sort());
    for (const key of odd) assert.equal(await text(`odd/${key}`), key);

    const CopySource = encodeURIComponent(`${Bucket}/odd/${odd.at(7)}`);
    await s3.send(new CopyObjectCommand({ Bucket, Key: "copied", CopySource }));
    assert.equal(await text("copied"), odd.at(7));
    await put("copied", "new");
    assert.equal(await text("copied"), "new");
    await waitUntilObjectExists({ client: s3, maxWaitTime: 30 }, { Bucket, Key: "copied" });

    const Objects = (await keys()).map((Key) => ({ Key }));
    const { Deleted, Errors } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.deepEqual([Deleted.length, Errors ?? []], [odd.length + 3, []]);
    await s3.send(new DeleteBucketCommand({ Bucket }));
  },

  // A stream goes out as aws-chunked with its checksum in a trailer.
  async streams() {
    for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
      const data = randomBytes(3 * MIB);
      const stream = Readable.from([data.subarray(0, 70_001), data.subarray(70_001)], { objectMode: false });
      await put("stream", stream, { ChecksumAlgorithm, ContentLength: data.length });
      const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "stream", ChecksumMode: "ENABLED" }));
      assert.ok(head[`Checksum${ChecksumAlgorithm}`], ChecksumAlgorithm);
      const back = await get("stream", { ChecksumMode: "ENABLED" }); // the SDK verifies it
      assert.equal(sum(await back.Body.transformToByteArray()), sum(data));
    }
  },

  async uploads() {
    const data = randomBytes(12 * MIB + 5);
    async function* pieces() {
      for (let at = 0; at < data.length; at += 65_537) yield data.subarray(at, at + 65_537);
    }
    const params = { Bucket, Key: "parts", Body: Readable.from(pieces()), Metadata: { tone: "blue" } };
    const upload = new Upload({ client: s3, params, partSize: 5 * MIB, queueSize: 3 });
    let seen = 0;
    upload.on("httpUploadProgress", (progress) => (seen = Math.max(seen, progress.loaded)));
    const done = await upload.done();
    assert.match(done.ETag, /-3"$/);
    assert.ok(done.Location.endsWith(`/${Bucket}/parts`), done.Location);
    assert.equal(seen, data.length);
    const back = await get("parts");
    assert.equal(back.Metadata.tone, "blue");
    assert.equal(sum(await back.Body.transformToByteArray()), sum(data));
    assert.equal((await get("parts", { PartNumber: 3 })).PartsCount, 3);

    const doomed = new Upload({ client: s3, params: { Bucket, Key: "doomed", Body: data }, partSize: 5 * MIB });
    doomed.on("httpUploadProgress", () => doomed.abort());
    await assert.rejects(doomed.done(), { name: "AbortError" });
  },

  async conditions() {
    const { ETag } = await put("k", "one", { IfNoneMatch: "*" });
    await assert.rejects(put("k", "two", { IfNoneMatch: "*" }), { name: "PreconditionFailed" });
    await put("k", "two", { IfMatch: ETag });
    assert.equal(await text("k"), "two");
    const upload = () => s3.send(new ListMultipartUploadsCommand({ Bucket }));
    assert.equal((await upload()).Uploads, undefined);
  },

  async links() {
    const Key = "a b/ü";
    const putUrl = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key }), { expiresIn: 60 });
    assert.equal((await fetch(putUrl, { method: "PUT", body: "hello" })).status, 200);
    const asked = { Bucket, Key, ResponseContentType: "text/css" };
    const getUrl = await getSignedUrl(s3, new GetObjectCommand(asked), { expiresIn: 60 });
    const reply = await fetch(getUrl);
    assert.deepEqual([await reply.text(), reply.headers.get("content-type")], ["hello", "text/css"]);
  },

  async refusals() {
    const wrong = connect("wrong");
    await assert.rejects(wrong.send(new GetObjectCommand({ Bucket, Key: "k" })), { name: "SignatureDoesNotMatch" });
    await assert.rejects(get("missing"), (fault) => fault instanceof NoSuchKey && fault.$metadata.requestId.length > 5);
    const Delete = { Objects: [] };
    await assert.rejects(s3.send(new DeleteObjectsCommand({ Bucket, Delete })), { name: "MalformedXML" });
  },
};

await chapters[process.argv[2]]();
