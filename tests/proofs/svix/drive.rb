# Calls every offered operation of Svix's Ruby client of major 2.
#
# ruby drive.rb URL TOKEN RECEIVER NAME: the server, its token, a receiver's URL, and a name that
# nothing on the server has. Prints one JSON object; exits 1 when an answer is not as expected.

require "json"
require "set"
require "svix"

URL, TOKEN, RECEIVER, NAME = ARGV
SVIX = Svix::Client.new(TOKEN, Svix::SvixOptions.new(false, URL))
CALLED = Set.new

def call(operation, *given)
  CALLED << operation
  group, method = operation.split(".")
  SVIX.public_send(group).public_send(method, *given)
end

def expect(holds, words)
  raise words unless holds
end

def refused(status)
  yield
  raise "expected #{status}"
rescue Svix::ApiError => e
  expect(e.code == status, "expected #{status}, got #{e.code}")
end

def applications
  body = Svix::ApplicationIn.new(name: "n", uid: NAME, throttle_rate: 3)
  made = call("application.create", body)
  expect(made.throttle_rate == 3, "throttle_rate")
  expect(call("application.get_or_create", body).id == made.id, "the same application")
  expect(call("application.get", NAME).id == made.id, "by uid")
  put = Svix::ApplicationIn.new(name: "m", uid: NAME)
  expect(call("application.upsert", NAME, put).name == "m", "upsert")
  expect(call("application.patch", NAME, Svix::ApplicationPatch.new(name: "p")).name == "p", "patch")
  expect(!call("application.list").data.empty?, "list")
  refused(404) { SVIX.application.get("missing") }
  refused(422) { SVIX.application.create(Svix::ApplicationIn.new(name: "n", uid: "a b")) }
  made.id
end

def event_types
  schemas = { "1" => { "examples" => [{ "x" => 1 }] } }
  given = { description: "d", schemas: schemas, feature_flags: ["beta"] }
  made = call("event_type.create", Svix::EventTypeIn.new(**given, name: NAME))
  expect(made.feature_flags == ["beta"], "feature_flags")
  expect(call("event_type.get", NAME).name == NAME, "get")
  call("event_type.upsert", NAME, Svix::EventTypeUpsertIn.new(**given))
  patch = Svix::EventTypePatch.new(description: "f")
  expect(call("event_type.patch", NAME, patch).description == "f", "patch")
  expect(!call("event_type.list").data.empty?, "list")
end

def endpoints(app)
  given = { url: RECEIVER, uid: "here", event_types: [NAME] }
  made = call("endpoint.create", app, Svix::EndpointIn.new(**given, channels: ["c"]))
  expect(made.event_types == [NAME], "event_types")
  expect(call("endpoint.get", app, "here").id == made.id, "by uid")
  call("endpoint.upsert", app, "here", Svix::EndpointUpsertIn.new(**given))
  patch = Svix::EndpointPatch.new(event_types: [NAME, "other"])
  expect(call("endpoint.patch", app, "here", patch).event_types.size == 2, "patch")
  silent = SVIX.endpoint.create(app, Svix::EndpointIn.new(url: "http://127.0.0.1:1/"))
  expect(call("endpoint.list", app).data.map(&:id) == [silent.id, made.id], "the newest first")
  headers = Svix::EndpointHeadersIn.new(headers: { "x-one" => "1" })
  call("endpoint.set_headers", app, "here", headers)
  less = Svix::EndpointHeadersPatchIn.new(headers: { "x-two" => "2" }, delete_headers: ["x-one"])
  call("endpoint.patch_headers", app, "here", less)
  expect(call("endpoint.get_headers", app, "here").headers == { "x-two" => "2" }, "headers")
  key = call("endpoint.get_secret", app, "here").key
  call("endpoint.rotate_secret", app, "here", Svix::EndpointSecretRotateIn.new)
  expect(SVIX.endpoint.get_secret(app, "here").key != key, "another secret")
  [made.id, silent.id]
end

def attempted(app, message)
  found = {}
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
  until found.size == 2
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline, "attempted within 20 s")
    call("message_attempt.list_by_msg", app, message, { "with_content" => "true" }).data.each do |one|
      found[one.endpoint_id] = one
    end
    sleep(0.05)
  end
  found
end

def messages(app, endpoint, silent)
  sent = call("message.create", app, Svix::MessageIn.new(event_type: NAME, payload: { "x" => 1 }))
  expect(call("message.get", app, sent.id).event_type == NAME, "get")
  expect(call("message.list", app).data.map(&:id) == [sent.id], "list")
  found = attempted(app, sent.id)
  expect(found[endpoint].response_status_code == 204, "204")
  expect(found[silent].response_status_code == 0, "0")
  expect(found[silent].response.start_with?("connection refused"), found[silent].response)
  attempt = found[endpoint].id
  expect(call("message_attempt.get", app, sent.id, attempt).msg_id == sent.id, "get")
  expect(call("message_attempt.list_by_endpoint", app, endpoint).data[0].id == attempt, "attempts")
  listed = call("message_attempt.list_attempted_messages", app, endpoint).data
  expect(listed[0].id == sent.id, "messages")
  places = call("message_attempt.list_attempted_destinations", app, sent.id).data
  expect(places.size == 2, "destinations")
  call("message_attempt.expunge_content", app, sent.id, attempt)
  expect(SVIX.message_attempt.get(app, sent.id, attempt).response == "EXPUNGED", "expunged")
  call("message_attempt.resend", app, sent.id, endpoint)
  call("endpoint.send_example", app, endpoint, Svix::EventExampleIn.new(event_type: NAME))
  since = Svix::RecoverIn.new(since: (Time.now - 3600).utc.strftime("%Y-%m-%dT%H:%M:%SZ"))
  expect(call("endpoint.recover", app, silent, since).id, "recover")
  expect(call("endpoint.get_stats", app, endpoint).success >= 1, "stats")
  call("message.expunge_content", app, sent.id)
  refused(400) { SVIX.message_attempt.resend(app, sent.id, endpoint) }
end

call("health.get")
app = applications
event_types
endpoint, silent = endpoints(app)
messages(app, endpoint, silent)
call("endpoint.delete", app, endpoint)
call("event_type.delete", NAME)
call("application.delete", app)
puts JSON.generate({ version: Svix::VERSION, operations: CALLED.size })
