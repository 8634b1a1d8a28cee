# The sums of all files.
{
    sales[$1] += $2
    net[$1] += $3
}
END { for (user in sales) printf "\"%s\",%d,%.17g\n", user, sales[user], net[user] }
