// Makes the profiles beside this file: go run -trimpath shop.go FOLDER (Go 1.26).
package main

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"time"
)

type item struct {
	Name  string
	Price float64
	Tags  []string
}

var kept [][]item

func stock(n int) []item {
	items := make([]item, n)
	for i := range items {
		items[i] = item{strings.Repeat("x", i%40), float64(i*7919%1000) / 10, []string{"a", "b"}}
	}
	return items
}

func depth(n int) int {
	if n == 0 {
		return 0
	}
	return depth(n-1) + len(strings.ToUpper("abc"))
}

func total(items []item) (sum float64) {
	sort.Slice(items, func(i, j int) bool { return items[i].Price < items[j].Price })
	for _, each := range items {
		sum += each.Price
	}
	return sum + float64(depth(50))
}

func render(items []item) []byte {
	text, _ := json.Marshal(items)
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 6)
	w.Write(text)
	w.Close()
	return packed.Bytes()
}

func find(items []item) (n int) {
	wanted := regexp.MustCompile("^x+$")
	for _, each := range items {
		if wanted.MatchString(each.Name) {
			n++
		}
	}
	return n
}

// serve answers as many requests.
func serve(loops int, heavier bool) {
	for i := 0; i < loops; i++ {
		route := []string{"/cart", "/search", "/list"}[i%3]
		pprof.Do(context.Background(), pprof.Labels("endpoint", route), func(context.Context) {
			items := stock(300)
			total(items)
			if route == "/search" || heavier {
				find(items)
			}
			if route != "/search" {
				render(items)
			}
			if i%50 == 0 {
				kept = append(kept, items)
			}
		})
	}
}

func profile(folder, name string, heavier bool) {
	file, _ := os.Create(filepath.Join(folder, name+".cpu.out"))
	pprof.StartCPUProfile(file)
	for begin := time.Now(); time.Since(begin) < 3*time.Second; {
		serve(30, heavier)
	}
	pprof.StopCPUProfile()
	file.Close()
	runtime.GC()
	file, _ = os.Create(filepath.Join(folder, name+".heap.out"))
	pprof.Lookup("heap").WriteTo(file, 0)
	file.Close()
}

func main() {
	runtime.MemProfileRate = 64 << 10
	profile(os.Args[1], "base", false)
	profile(os.Args[1], "new", true)
}
