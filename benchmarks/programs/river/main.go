// Runs no-op jobs with River, the job queue for Go on PostgreSQL, as its command "river bench" does.
//
// "river URL JOBS" migrates the database, inserts the jobs, works them all and prints jobs per
// second after the first tenth, as JSON.
package main

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Args are the arguments of a job.
type Args struct {
	Number int `json:"number"`
}

// Kind names the kind of job.
func (Args) Kind() string { return "nothing" }

// Worker counts jobs.
type Worker struct {
	river.WorkerDefaults[Args]
	worked *atomic.Int64
}

// Work does nothing but count.
func (w *Worker) Work(context.Context, *river.Job[Args]) error {
	w.worked.Add(1)
	return nil
}

func main() {
	url := os.Args[1]
	jobs, err := strconv.Atoi(os.Args[2])
	must(err)
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	must(err)
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New[pgx.Tx](driver, nil)
	must(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	must(err)

	var worked atomic.Int64
	workers := river.NewWorkers()
	river.AddWorker(workers, &Worker{worked: &worked})
	client, err := river.NewClient[pgx.Tx](driver, &river.Config{
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		JobTimeout:        -1,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		Workers:           workers,
	})
	must(err)
	for first := 0; first < jobs; first += 5000 {
		batch := make([]river.InsertManyParams, 0, 5000)
		for number := first; number < min(first+5000, jobs); number++ {
			batch = append(batch, river.InsertManyParams{Args: Args{Number: number}})
		}
		_, err = client.InsertManyFast(ctx, batch)
		must(err)
	}
	_, err = pool.Exec(ctx, "VACUUM ANALYZE")
	must(err)

	must(client.Start(ctx))
	await(func() bool { return worked.Load() >= int64(jobs/10) })
	began, first := time.Now(), worked.Load()
	await(func() bool { return worked.Load() >= int64(jobs) })
	await(func() bool {
		var left int
		must(pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state <> 'completed'").Scan(&left))
		return left == 0
	})
	rate := float64(int64(jobs)-first) / time.Since(began).Seconds()
	must(client.Stop(ctx))
	must(json.NewEncoder(os.Stdout).Encode(map[string]float64{"drain": rate}))
}

func await(done func() bool) {
	for !done() {
		time.Sleep(2 * time.Millisecond)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
