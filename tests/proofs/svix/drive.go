// Drive calls every offered operation of Svix's Go client.
//
// go run . URL TOKEN RECEIVER NAME: the server, its token, a receiver's URL, and a name that
// nothing on the server has. Prints one JSON object; exits 1 when an answer is not as expected.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	svix "github.com/svix/svix-webhooks/go"
	"github.com/svix/svix-webhooks/go/models"
	"github.com/svix/svix-webhooks/go/utils"
)

var (
	ctx    = context.Background()
	called = map[string]bool{}
)

// must notes an operation and returns its answer.
func must[T any](operation string, answer T, err error) T {
	called[operation] = true
	if err != nil {
		panic(fmt.Sprintf("%s: %v", operation, err))
	}
	return answer
}

func done(operation string, err error) { must(operation, true, err) }

func expect(holds bool, words string) {
	if !holds {
		panic(words)
	}
}

func refused(status int, err error) {
	var known *svix.Error
	expect(errors.As(err, &known) && known.Status() == status, fmt.Sprintf("%d, got %v", status, err))
}

func ptr[T any](value T) *T { return &value }

func applications(client *svix.Svix, name string) string {
	in := models.ApplicationIn{Name: "n", Uid: &name, ThrottleRate: ptr(uint16(3))}
	made, err := client.Application.Create(ctx, in, nil)
	made = must("application.create", made, err)
	expect(*made.ThrottleRate == 3, "throttleRate")
	same, err := client.Application.GetOrCreate(ctx, in, nil)
	expect(must("application.getOrCreate", same, err).Id == made.Id, "the same application")
	got, err := client.Application.Get(ctx, name)
	expect(must("application.get", got, err).Id == made.Id, "by uid")
	put, err := client.Application.Update(ctx, name, models.ApplicationIn{Name: "m", Uid: &name})
	expect(must("application.update", put, err).Name == "m", "update")
	patch, err := client.Application.Patch(ctx, name, models.ApplicationPatch{Name: ptr("p")})
	expect(must("application.patch", patch, err).Name == "p", "patch")
	list, err := client.Application.List(ctx, nil)
	expect(len(must("application.list", list, err).Data) > 0, "list")
	_, err = client.Application.Get(ctx, "missing")
	refused(404, err)
	_, err = client.Application.Create(ctx, models.ApplicationIn{Name: "n", Uid: ptr("a b")}, nil)
	refused(422, err)
	return made.Id
}

func eventTypes(client *svix.Svix, name string) {
	schemas := map[string]any{"1": map[string]any{"examples": []any{map[string]any{"x": 1}}}}
	in := models.EventTypeIn{Name: name, Description: "d", FeatureFlag: ptr("beta"), Schemas: &schemas}
	made, err := client.EventType.Create(ctx, in, nil)
	expect(*must("eventType.create", made, err).FeatureFlag == "beta", "featureFlag")
	got, err := client.EventType.Get(ctx, name)
	expect(must("eventType.get", got, err).Name == name, "get")
	put, err := client.EventType.Update(ctx, name, models.EventTypeUpdate{Description: "e", Schemas: &schemas})
	must("eventType.update", put, err)
	patch, err := client.EventType.Patch(ctx, name, models.EventTypePatch{Description: ptr("f")})
	expect(must("eventType.patch", patch, err).Description == "f", "patch")
	list, err := client.EventType.List(ctx, nil)
	expect(len(must("eventType.list", list, err).Data) > 0, "list")
}

func endpoints(client *svix.Svix, app, receiver, name string) (string, string) {
	in := models.EndpointIn{Url: receiver, Uid: ptr("here"), FilterTypes: []string{name}, Version: ptr(uint16(1))}
	made, err := client.Endpoint.Create(ctx, app, in, nil)
	made = must("endpoint.create", made, err)
	expect(made.FilterTypes[0] == name && made.Version == 1, "filterTypes and version")
	got, err := client.Endpoint.Get(ctx, app, "here")
	expect(must("endpoint.get", got, err).Id == made.Id, "by uid")
	update := models.EndpointUpdate{Url: receiver, Uid: ptr("here"), FilterTypes: []string{name}}
	put, err := client.Endpoint.Update(ctx, app, "here", update)
	must("endpoint.update", put, err)
	change := models.EndpointPatch{FilterTypes: utils.NewNullable([]string{name, "other"})}
	patch, err := client.Endpoint.Patch(ctx, app, "here", change)
	expect(len(must("endpoint.patch", patch, err).FilterTypes) == 2, "patch")
	silent, err := client.Endpoint.Create(ctx, app, models.EndpointIn{Url: "http://127.0.0.1:1/"}, nil)
	silent = must("endpoint.create", silent, err)
	list, err := client.Endpoint.List(ctx, app, nil)
	expect(must("endpoint.list", list, err).Data[0].Id == silent.Id, "the newest first")
	headers := models.EndpointHeadersIn{Headers: map[string]string{"x-one": "1"}}
	done("endpoint.updateHeaders", client.Endpoint.UpdateHeaders(ctx, app, "here", headers))
	more := models.EndpointHeadersPatchIn{Headers: map[string]string{"x-two": "2"}, DeleteHeaders: []string{"x-one"}}
	done("endpoint.patchHeaders", client.Endpoint.PatchHeaders(ctx, app, "here", more))
	shown, err := client.Endpoint.GetHeaders(ctx, app, "here")
	expect(len(must("endpoint.getHeaders", shown, err).Headers) == 1, "headers")
	secret, err := client.Endpoint.GetSecret(ctx, app, "here")
	secret = must("endpoint.getSecret", secret, err)
	done("endpoint.rotateSecret", client.Endpoint.RotateSecret(ctx, app, "here", models.EndpointSecretRotateIn{}, nil))
	again, err := client.Endpoint.GetSecret(ctx, app, "here")
	expect(must("endpoint.getSecret", again, err).Key != secret.Key, "another secret")
	return made.Id, silent.Id
}

func attempted(client *svix.Svix, app, message string) map[string]models.MessageAttemptOut {
	found := map[string]models.MessageAttemptOut{}
	for deadline := time.Now().Add(20 * time.Second); len(found) < 2; time.Sleep(50 * time.Millisecond) {
		expect(time.Now().Before(deadline), "both endpoints are attempted within 20 s")
		options := &svix.MessageAttemptListByMsgOptions{WithContent: ptr(true)}
		page, err := client.MessageAttempt.ListByMsg(ctx, app, message, options)
		for _, one := range must("messageAttempt.listByMsg", page, err).Data {
			found[one.EndpointId] = one
		}
	}
	return found
}

func messages(client *svix.Svix, app, endpoint, silent, name string) {
	in := models.MessageIn{EventType: name, Payload: map[string]any{"x": 1}}
	sent, err := client.Message.Create(ctx, app, in, nil)
	sent = must("message.create", sent, err)
	got, err := client.Message.Get(ctx, app, sent.Id, nil)
	expect(must("message.get", got, err).EventType == name, "get")
	list, err := client.Message.List(ctx, app, nil)
	expect(must("message.list", list, err).Data[0].Id == sent.Id, "list")
	found := attempted(client, app, sent.Id)
	expect(found[endpoint].ResponseStatusCode == 204 && found[silent].ResponseStatusCode == 0, "statuses")
	expect(strings.HasPrefix(found[silent].Response, "connection refused"), found[silent].Response)
	attempt := found[endpoint].Id
	one, err := client.MessageAttempt.Get(ctx, app, sent.Id, attempt, nil)
	expect(must("messageAttempt.get", one, err).MsgId == sent.Id, "get")
	byEndpoint, err := client.MessageAttempt.ListByEndpoint(ctx, app, endpoint, nil)
	expect(must("messageAttempt.listByEndpoint", byEndpoint, err).Data[0].Id == attempt, "by endpoint")
	attemptedMessages, err := client.MessageAttempt.ListAttemptedMessages(ctx, app, endpoint, nil)
	expect(must("messageAttempt.listAttemptedMessages", attemptedMessages, err).Data[0].Id == sent.Id, "messages")
	places, err := client.MessageAttempt.ListAttemptedDestinations(ctx, app, sent.Id, nil)
	expect(len(must("messageAttempt.listAttemptedDestinations", places, err).Data) == 2, "destinations")
	done("messageAttempt.expungeContent", client.MessageAttempt.ExpungeContent(ctx, app, sent.Id, attempt))
	again, err := client.MessageAttempt.Resend(ctx, app, sent.Id, endpoint, nil)
	must("messageAttempt.resend", again, err)
	example, err := client.Endpoint.SendExample(ctx, app, endpoint, models.EventExampleIn{EventType: name}, nil)
	must("endpoint.sendExample", example, err)
	since := models.RecoverIn{Since: time.Now().Add(-time.Hour)}
	task, err := client.Endpoint.Recover(ctx, app, silent, since, nil)
	must("endpoint.recover", task, err)
	stats, err := client.Endpoint.GetStats(ctx, app, endpoint, nil)
	expect(must("endpoint.getStats", stats, err).Success >= 1, "stats")
	done("message.expungeContent", client.Message.ExpungeContent(ctx, app, sent.Id))
	_, err = client.MessageAttempt.Resend(ctx, app, sent.Id, endpoint, nil)
	refused(400, err)
}

func main() {
	server, err := url.Parse(os.Args[1])
	must("url", server, err)
	client, err := svix.New(os.Args[2], &svix.SvixOptions{ServerUrl: server})
	client = must("url", client, err)
	delete(called, "url")
	receiver, name := os.Args[3], os.Args[4]
	done("health.get", client.Health.Get(ctx))
	app := applications(client, name)
	eventTypes(client, name)
	endpoint, silent := endpoints(client, app, receiver, name)
	messages(client, app, endpoint, silent, name)
	done("endpoint.delete", client.Endpoint.Delete(ctx, app, endpoint))
	done("eventType.delete", client.EventType.Delete(ctx, name, nil))
	done("application.delete", client.Application.Delete(ctx, app))
	fmt.Printf("{\"operations\": %d}\n", len(called))
}
