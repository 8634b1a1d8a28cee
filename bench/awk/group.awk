# Partial sums of one file of purchases, bad rows left out.
FNR > 1 && NF >= 5 && $3 ~ /^[0-9]*$/ && $4 ~ /^[0-9.]*$/ && $4 > 2 {
    sales[$2]++
    net[$2] += $4 * 0.9
}
END { for (user in sales) printf "%s %d %.17g\n", user, sales[user], net[user] }
